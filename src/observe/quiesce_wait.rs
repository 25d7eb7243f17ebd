//! Waiting until each of several coordinators has quiesced, through the absence of some of them. Pure.
//!
//! Whoever drains a fleet wants the rest to be drained even if one does not answer: it may be back in a moment, or be stopped
//! for good, and neither is a reason to lose sight of the others. So what is waited for is a fact about each coordinator alone:
//! that it *has been seen* quiesced. That stays true when the process is then stopped, or replaced by one that takes sagas
//! again, which is what one drains for.
//!
//! One that takes sagas and has not been seen quiesced is asked (again): it could not be asked before, or it has started anew in
//! the middle.

use super::quiesce::{SecQuiescence, State};

/// What is known of each coordinator, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    peers: Vec<Peer>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Peer {
    has_quiesced: bool,
    is_silent: bool,
}

/// What one look at all of them shows. Numbers count coordinators from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Those that have to be asked to quiesce.
    pub to_ask: Vec<usize>,
    /// Those that answered before, or were not looked at before, and do not answer now.
    pub fell_silent: Vec<usize>,
    /// Those that did not answer and do now.
    pub came_back: Vec<usize>,
}

impl Waiting {
    /// Nothing is known yet of so many.
    pub fn new(count: usize) -> Self {
        Self { peers: vec![Peer::default(); count] }
    }

    /// Takes in a look at all of them.
    ///
    /// # Panics
    ///
    /// If these are more or fewer than there are.
    pub fn look(&mut self, secs: &[SecQuiescence]) -> Seen {
        assert_eq!(secs.len(), self.peers.len(), "one answer of each");
        let mut seen = Seen::default();
        for (index, (peer, sec)) in self.peers.iter_mut().zip(secs).enumerate() {
            let was_silent = std::mem::replace(&mut peer.is_silent, sec.state == State::NoAnswer);
            peer.has_quiesced |= sec.state == State::Quiesced;
            if peer.has_quiesced {
                // Whether it is still there does not matter any more.
                continue;
            }
            match (was_silent, peer.is_silent) {
                (false, true) => seen.fell_silent.push(index),
                (true, false) => seen.came_back.push(index),
                (true, true) | (false, false) => {}
            }
            if matches!(sec.state, State::Running | State::Undetermined) {
                seen.to_ask.push(index);
            }
        }
        seen
    }

    /// Those that have not been seen quiesced.
    pub fn left(&self) -> impl Iterator<Item = usize> {
        self.peers.iter().enumerate().filter(|(_, peer)| !peer.has_quiesced).map(|(index, _)| index)
    }

    /// Whether all have.
    pub fn is_over(&self) -> bool {
        self.left().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(waiting: &mut Waiting, states: &[State]) -> Seen {
        let secs: Vec<_> =
            states.iter().map(|&state| SecQuiescence::without(None, String::new(), state, None)).collect();
        waiting.look(&secs)
    }

    #[test]
    fn each_is_waited_for_until_it_was_seen_quiesced_and_no_longer() {
        use State::{DrainingSagas, NoAnswer, Quiesced, Running};
        let mut waiting = Waiting::new(3);
        let seen = looks(&mut waiting, &[DrainingSagas, NoAnswer, DrainingSagas]);
        assert_eq!(seen, Seen { fell_silent: vec![1], ..Seen::default() });
        let seen = looks(&mut waiting, &[Quiesced, NoAnswer, DrainingSagas]);
        assert_eq!(seen, Seen::default(), "told once");
        // The first is stopped, the second is there after all, the third has crashed and come back.
        let seen = looks(&mut waiting, &[NoAnswer, Running, Running]);
        assert_eq!(seen, Seen { to_ask: vec![1, 2], came_back: vec![1], ..Seen::default() });
        assert_eq!(waiting.left().collect::<Vec<_>>(), [1, 2]);
        // The first has been replaced: that one is nobody's business.
        let seen = looks(&mut waiting, &[Running, Quiesced, Quiesced]);
        assert!(seen == Seen::default() && waiting.is_over());
    }
}
