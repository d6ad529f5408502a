//! What can be asked of dead letters on the command line.

use clap::Subcommand;

use crate::people::Shape;

/// Dead letters: events that could not be delivered, handled or read.
#[derive(Debug, clap::Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    pub(crate) command: DeadLetters,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Lists dead letters with age, source, function, reason and event.
    List {
        #[command(flatten)]
        queue: QueueArgs,

        /// The form of the output.
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Shows dead letters in full.
    Show {
        /// Ids of dead letters, as `list` shows them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,

        #[command(flatten)]
        queue: QueueArgs,
    },
    /// Sends dead letters again: to the queue that they come from, or to the queue of their function.
    Redrive {
        /// Ids of dead letters, as `list` shows them.
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
        ids: Vec<String>,

        /// Every dead letter.
        #[arg(long)]
        all: bool,

        /// The queue that they are sent to, by address, ARN or name; needed where a letter tells none.
        #[arg(long, value_name = "QUEUE")]
        to: Option<String>,

        /// Also letters that this version can't read, which would come back.
        #[arg(long)]
        force: bool,

        #[command(flatten)]
        queue: QueueArgs,

        #[command(flatten)]
        consent: Consent,
    },
    /// Shows what operators did with dead letters, the newest first.
    History {
        /// The state table; without it `MESHWARDEN_TABLE`, then `meshwarden`.
        #[arg(long, value_name = "NAME")]
        table: Option<String>,

        /// The most entries that are shown.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Deletes dead letters, each by its id.
    Drop {
        /// Ids of dead letters, as `list` shows them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,

        #[command(flatten)]
        queue: QueueArgs,

        #[command(flatten)]
        consent: Consent,
    },
}

/// Which dead-letter queue, and how much of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct QueueArgs {
    /// The dead-letter queue, by address, ARN or name.
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: String,

    /// The most dead letters that are read.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) limit: usize,
}

/// Who does it, where it is journalled, and whether a question is asked first.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Consent {
    /// Does it without asking. Only a terminal is ever asked.
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Who does it, for the journal; without it $USER.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,

    /// The state table; without it `MESHWARDEN_TABLE`, then `meshwarden`.
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,

    /// Does it although it cannot be journalled.
    #[arg(long)]
    pub(crate) no_journal: bool,
}

impl DeadLetters {
    /// Whether somebody at a terminal is asked first.
    pub(crate) const fn asks(&self) -> bool {
        match self {
            Self::List { .. } | Self::Show { .. } | Self::History { .. } => false,
            Self::Redrive { consent, .. } | Self::Drop { consent, .. } => !consent.yes,
        }
    }

    /// The consent of a command that changes something.
    pub(crate) const fn consent(&self) -> Option<&Consent> {
        match self {
            Self::List { .. } | Self::Show { .. } | Self::History { .. } => None,
            Self::Redrive { consent, .. } | Self::Drop { consent, .. } => Some(consent),
        }
    }

    /// The state table that was named.
    pub(crate) fn table(&self) -> Option<&str> {
        match self {
            Self::List { .. } | Self::Show { .. } => None,
            Self::History { table, .. } => table.as_deref(),
            Self::Redrive { consent, .. } | Self::Drop { consent, .. } => consent.table.as_deref(),
        }
    }
}
