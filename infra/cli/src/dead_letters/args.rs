//! Arguments of `dead-letters`.

use clap::Subcommand;

use crate::people::Shape;

/// Dead letters: events that could not be delivered, handled or read.
#[derive(Debug, clap::Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    pub(crate) command: DeadLetters,
}

/// The subcommands of `dead-letters`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Lists dead letters with age, source, function, reason and event.
    List {
        #[command(flatten)]
        queue: QueueArgs,

        /// The output format.
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Shows all details of dead letters.
    Show {
        /// Ids of dead letters, as `list` shows them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,

        #[command(flatten)]
        queue: QueueArgs,
    },
    /// Sends dead letters again, to their source queue or to the queue of their function.
    Redrive {
        /// Ids of dead letters, as `list` shows them.
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
        ids: Vec<String>,

        /// Redrives every dead letter.
        #[arg(long)]
        all: bool,

        /// The destination queue, by URL, ARN or name. Required for a letter that names no queue.
        #[arg(long, value_name = "QUEUE")]
        to: Option<String>,

        /// Redrives unreadable letters too, which would become dead letters again.
        #[arg(long)]
        force: bool,

        #[command(flatten)]
        queue: QueueArgs,

        #[command(flatten)]
        consent: Consent,
    },
    /// Shows the operators' actions on dead letters, newest first.
    History {
        /// The state table. Default: `MESHWARDEN_TABLE`, then `meshwarden`.
        #[arg(long, value_name = "NAME")]
        table: Option<String>,

        /// The most journal entries to show.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Deletes dead letters by id.
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

/// The dead-letter queue, and the number of letters to read from it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct QueueArgs {
    /// The dead-letter queue, by URL, ARN or name.
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: String,

    /// The most dead letters to read.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) limit: usize,
}

/// The confirmation and the journal settings of a command that changes dead letters.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Consent {
    /// Skips the confirmation prompt, which appears only on a terminal.
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// The operator's name for the journal. Default: $USER.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,

    /// The state table. Default: `MESHWARDEN_TABLE`, then `meshwarden`.
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,

    /// Executes the command without a journal entry.
    #[arg(long)]
    pub(crate) no_journal: bool,
}

impl DeadLetters {
    /// Whether the command needs a confirmation. The prompt appears only on a terminal.
    pub(crate) const fn needs_confirmation(&self) -> bool {
        match self {
            Self::List { .. } | Self::Show { .. } | Self::History { .. } => false,
            Self::Redrive { consent, .. } | Self::Drop { consent, .. } => !consent.yes,
        }
    }

    /// The consent arguments; `None` for a command that changes nothing.
    pub(crate) const fn consent(&self) -> Option<&Consent> {
        match self {
            Self::List { .. } | Self::Show { .. } | Self::History { .. } => None,
            Self::Redrive { consent, .. } | Self::Drop { consent, .. } => Some(consent),
        }
    }

    /// The state table from the command line.
    pub(crate) fn table(&self) -> Option<&str> {
        match self {
            Self::List { .. } | Self::Show { .. } => None,
            Self::History { table, .. } => table.as_deref(),
            Self::Redrive { consent, .. } | Self::Drop { consent, .. } => consent.table.as_deref(),
        }
    }
}
