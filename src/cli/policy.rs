//! `countersign policy`: explains and tests the policy of a configuration, offline: no token, no daemon; and thaws, by a
//! running daemon, whom that froze.

use std::io::Write;

use crate::cli::ConfigArgs;

mod check;
mod explain;
mod recorded;
mod replay;
mod source;
mod test;
mod thaw;

pub(super) use explain::kind;

/// The subcommands of `countersign policy`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Check a configuration, policy and all, without its tokens
    Check(check::Check),
    /// Explain how a request, or a ledger entry, is decided, rule by rule
    Explain(Box<explain::Explain>),
    /// Ask the policy about a file of cases; fails if one is decided otherwise than it expects
    Test(test::Test),
    /// Decide a ledger's requests again by this policy, and show what would change; exits with 1 if something would
    Replay(replay::Replay),
    /// Let a caller use a key again that it was frozen for, by a running service
    Thaw(thaw::Thaw),
}

impl Command {
    /// Runs the subcommand and prints to `out`.
    ///
    /// # Errors
    /// [`Faults`](super::Faults) of the configuration; what cannot be read; that a test failed, or a replay shows changes; what
    /// the service refuses.
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        match self {
            Self::Check(check) => check.run(out),
            Self::Explain(explain) => explain.run(out),
            Self::Test(test) => test.run(out),
            Self::Replay(replay) => replay.run(out),
            Self::Thaw(thaw) => thaw.run(out),
        }
    }
}
