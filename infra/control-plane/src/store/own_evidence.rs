//! The evidence of this replica, and which of its chunks the registry lacks.

use crate::storage::{EvidenceChunk, Sequence};

/// The chunks of this replica's evidence.
#[derive(Debug, Default)]
pub(super) struct OwnEvidence {
    sequence: Sequence,
    chunks: Vec<OwnChunk>,
    /// The last used generation. It never decreases, so that a late write of an earlier chunk has no effect.
    generation: u64,
}

#[derive(Debug)]
struct OwnChunk {
    generation: u64,
    body: Vec<u8>,
    is_reported: bool,
}

impl OwnEvidence {
    /// Replaces the evidence. Equal chunks need no report.
    pub(super) fn replace(&mut self, sequence: Sequence, bodies: Vec<Vec<u8>>) {
        self.sequence = sequence;
        let mut previous = std::mem::take(&mut self.chunks).into_iter();
        for body in bodies {
            if let Some(chunk) = previous.next().filter(|chunk| chunk.body == body) {
                self.chunks.push(chunk);
                continue;
            }
            self.generation = self.generation.saturating_add(1);
            self.chunks.push(OwnChunk { generation: self.generation, body, is_reported: false });
        }
    }

    /// The last entry of the log that this replica had applied before the evidence was collected.
    pub(super) const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The generation of each chunk.
    pub(super) fn generations(&self) -> Vec<u64> {
        self.chunks.iter().map(|chunk| chunk.generation).collect()
    }

    /// The chunks that may not be stored.
    pub(super) fn unreported(&self) -> Vec<EvidenceChunk> {
        let numbered = (0..).zip(&self.chunks).filter(|(_, chunk)| !chunk.is_reported);
        let chunk = |(number, chunk): (u64, &OwnChunk)| EvidenceChunk {
            number,
            generation: chunk.generation,
            body: chunk.body.clone(),
        };
        numbered.map(chunk).collect()
    }

    /// These chunks are stored.
    pub(super) fn reported(&mut self, stored: &[EvidenceChunk]) {
        for chunk in &mut self.chunks {
            chunk.is_reported |= stored.iter().any(|stored| stored.generation == chunk.generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changed_chunks_are_reported() {
        let body = |text: &str| text.as_bytes().to_vec();
        let mut evidence = OwnEvidence::default();
        evidence.replace(1, vec![body("a"), body("b")]);
        let first = evidence.unreported();
        assert_eq!((first.len(), evidence.generations()), (2, vec![1, 2]));
        evidence.replace(2, vec![body("a"), body("c")]);
        evidence.reported(&first);
        let second = evidence.unreported();
        assert_eq!(second, [EvidenceChunk { number: 1, generation: 3, body: body("c") }]);
        evidence.reported(&second);
        evidence.replace(3, vec![body("a")]);
        assert_eq!((evidence.unreported(), evidence.generations(), evidence.sequence()), (Vec::new(), vec![1], 3));
        evidence.replace(4, vec![body("a"), body("c")]);
        assert_eq!(evidence.generations(), [1, 4], "a generation is never used again");
    }
}
