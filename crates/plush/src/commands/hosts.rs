//! `plush hosts`: sets of hosts as `nodeset` treats them: fold, expand, count.
//! Not the hosts of a description: `plan` shows those.

use crate::exit::ExitCode;
use crate::host_arguments;
use crate::invocation::print;
use crate::render::text;
use crate::trouble::Trouble;
use clap::{Args, Subcommand};
use plush_spec::hostset::{Folding, HostSet};

/// What is done with the hosts.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Operation {
    /// Write hosts as short as can be
    #[command(after_help = EXAMPLES)]
    Fold {
        #[command(flatten)]
        sets: Sets,
        /// Write steps (`0-10/2`) where so many numbers follow each other
        #[arg(long, value_name = "N")]
        autostep: Option<u64>,
    },
    /// Write every host by itself
    #[command(after_help = EXAMPLES)]
    Expand {
        #[command(flatten)]
        sets: Sets,
        /// What stands between two hosts
        #[arg(short = 'S', long, value_name = "TEXT", default_value = "\\n")]
        separator: String,
    },
    /// Count hosts
    #[command(after_help = EXAMPLES)]
    Count {
        #[command(flatten)]
        sets: Sets,
    },
}

/// Sets that are joined.
#[derive(Debug, Args)]
pub struct Sets {
    /// Sets; `-` is standard input, `^FILE` a file
    #[arg(value_name = "SET", required = true)]
    sets: Vec<String>,
    /// Without these
    #[arg(short = 'x', long = "exclude", value_name = "SET")]
    exclude: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  plush hosts fold node3 node1 node2                      node[1-3]
  plush hosts expand 'rack[1-2]n[1-3]' -x rack1n2
  plush hosts count 'node[001-128]!node[007,019]'         126
  cut -f1 table | plush hosts fold -";

/// Does it.
pub fn hosts(operation: Operation) -> Result<ExitCode, Trouble> {
    let line = match operation {
        Operation::Fold { sets, autostep } => {
            sets.read()?.fold_with(&Folding { autostep, axes: None })
        }
        Operation::Expand { sets, separator } => {
            let separator = separator.replace("\\n", "\n").replace("\\t", "\t");
            sets.read()?.iter().collect::<Vec<_>>().join(&separator)
        }
        Operation::Count { sets } => sets.read()?.len().to_string(),
    };
    if !line.is_empty() {
        print(&format!("{}\n", text::guarded(&line)))?;
    }
    Ok(ExitCode::Done)
}

impl Sets {
    fn read(&self) -> Result<HostSet, Trouble> {
        let joined = |sets: &[String]| -> Result<HostSet, Trouble> {
            let mut all = HostSet::new();
            for set in sets {
                all = all.union(&host_arguments::set(set)?);
            }
            Ok(all)
        };
        Ok(joined(&self.sets)?.difference(&joined(&self.exclude)?))
    }
}
