//! Turns that begin, and what follows from steps: in time, whoever asks for signatures or not.
//!
//! In: the lines. Out: keys whose turns are what the log says, a line in the daemon's log when one begins, and the files of
//! bundles. What a request finds does not wait for this: it compares its own second.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use super::Stop;
use super::bundles::{Files, RETRY};
use crate::key::UnixTime;
use crate::rotation::{Rotations, State};

/// The longest sleep: the clock may be set meanwhile.
const NAP: Duration = Duration::from_secs(30);

/// Keeps the turns; made when the daemon starts.
pub(super) struct Keeper {
    rotations: Rotations,
    files: Option<Files>,
    /// The names of keys that are known to be active.
    active: BTreeSet<String>,
}

impl Keeper {
    pub(super) fn new(rotations: Rotations, files: Option<Files>) -> Self {
        for disagreement in rotations.disagreements() {
            tracing::warn!("{disagreement}");
        }
        let mut keeper = Self { rotations, files, active: BTreeSet::new() };
        keeper.active = keeper.active_now().map(|(name, _)| name).collect();
        keeper
    }

    /// Keeps them until the daemon stops.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let mut changes = self.rotations.watch();
        let mut links = self.rotations.watch_links();
        let mut size = self.rotations.watch_size();
        let mut was_in_doubt = false;
        loop {
            let steps = *changes.borrow_and_update();
            links.mark_unchanged();
            let is_in_doubt = self.rotations.is_in_doubt();
            if is_in_doubt && !was_in_doubt {
                // What it took before says nothing of the step.
                size.mark_unchanged();
            } else if !is_in_doubt {
                self.rotations.settle();
            }
            was_in_doubt = is_in_doubt;
            self.tell();
            let written = match self.files.take() {
                None => true,
                Some(files) => self.write(files).await,
            };
            self.rotations.follows(steps);
            let pause = if written { self.pause() } else { self.pause().min(RETRY) };
            let next = async {
                tokio::select! {
                    _ = changes.changed() => {}
                    // It has found out by now.
                    _ = links.changed() => self.rotations.settle(),
                    // Whatever the ledger takes, it has found out before what became of the step.
                    _ = size.changed(), if is_in_doubt => self.rotations.settle(),
                    () = sleep(pause) => {}
                }
            };
            if stop.or(next).await.is_none() {
                return;
            }
        }
    }

    /// Writes the files where that may block.
    async fn write(&mut self, mut files: Files) -> bool {
        let done = tokio::task::spawn_blocking(move || {
            let written = files.write();
            (files, written)
        });
        // It fails if the work panicked, which ends the process in a release build, or if the runtime ends.
        let Ok((files, written)) = done.await else { return false };
        self.files = Some(files);
        written
    }

    /// Says which keys have become active.
    fn tell(&mut self) {
        let now: Vec<_> = self.active_now().collect();
        for (name, old) in now.iter().filter(|(name, _)| !self.active.contains(name)) {
            tracing::warn!("key {name} signs certificates from now on, and key {old} signs none");
        }
        self.active = now.into_iter().map(|(name, _)| name).collect();
    }

    /// Those of lines, each with the name of the key before it.
    fn active_now(&self) -> impl Iterator<Item = (String, String)> + use<> {
        self.rotations.lines(UnixTime::now()).into_iter().filter_map(|line| {
            let active = line.active()?.name.clone();
            let superseded = line.members.iter().rev().find(|key| matches!(key.state, State::Superseded(_)));
            Some((active, superseded.map(|key| key.name.clone()).unwrap_or_default()))
        })
    }

    /// Until the next turn begins.
    fn pause(&self) -> Duration {
        let Some(UnixTime(at)) = self.rotations.next_turn(UnixTime::now()) else { return NAP };
        let left = (UNIX_EPOCH + Duration::from_secs(at)).duration_since(SystemTime::now());
        left.unwrap_or_default().min(NAP)
    }
}
