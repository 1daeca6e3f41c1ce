//! Finds secrets in a stream of bytes, one state carried from chunk to chunk.
//!
//! An Aho-Corasick automaton alone reads every byte through a table. Most text holds nothing that looks like a secret,
//! so four bytes at a time are looked up in a small bit set of "how patterns start"; only where that says "perhaps" does
//! the automaton walk, until it is back near its start state.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

/// Every pattern has at least this many bytes: what the bit set looks at.
pub(super) const SHORTEST: usize = 4;
/// And at most this many: a depth fits a byte, and no more than this is ever held back.
pub(super) const LONGEST: usize = 255;

/// The patterns of a masker, ready to search for.
pub(super) struct Matcher {
    nfa: NFA,
    start: StateID,
    /// By state: how many of the bytes just read may be the start of a pattern.
    depths: Vec<u8>,
    starts: Starts,
}

impl Matcher {
    /// Builds the automaton; `None` if there is nothing to search for.
    pub(super) fn new(patterns: &[Vec<u8>]) -> Option<Self> {
        if patterns.is_empty() {
            return None;
        }
        debug_assert!(patterns.iter().all(|pattern| (SHORTEST..=LONGEST).contains(&pattern.len())));
        // All matches are wanted, also those inside of others: their union is masked. Building fails only beyond 2^31
        // states; `forms` bounds the patterns far below that.
        let nfa = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(patterns).ok()?;
        let start = nfa.start_state(Anchored::No).ok()?;
        let depths = depths(&nfa, start, patterns);
        Some(Self { nfa, start, depths, starts: Starts::new(patterns) })
    }

    /// The state in which nothing has been read.
    pub(super) fn start(&self) -> StateID {
        self.start
    }

    /// How many of the bytes just read may still turn out to be the start of a secret.
    pub(super) fn depth(&self, state: StateID) -> usize {
        self.depths.get(state.as_usize()).copied().map_or(0, usize::from)
    }

    /// Reads `text` from `state` on; tells `found` the end (in `text`) and the length of each match, in the order of
    /// the ends. A match may have begun before `text`.
    pub(super) fn scan(&self, mut state: StateID, text: &[u8], mut found: impl FnMut(usize, usize)) -> StateID {
        let mut at = 0;
        // Where the automaton may hand back to the bit set at the earliest: behind the place it was called for.
        let mut resume_from = 0;
        loop {
            if state == self.start {
                at = self.starts.find(text, at).unwrap_or_else(|| text.len().saturating_sub(SHORTEST - 1).max(at));
                resume_from = at + 1;
            }
            loop {
                let Some(&byte) = text.get(at) else { return state };
                state = self.nfa.next_state(Anchored::No, state, byte);
                at += 1;
                if self.nfa.is_special(state) && self.nfa.is_match(state) {
                    found(at, self.longest_match(state));
                }
                let depth = self.depth(state);
                if depth < SHORTEST && at >= resume_from + depth {
                    at -= depth;
                    state = self.start;
                    break;
                }
            }
        }
    }

    fn longest_match(&self, state: StateID) -> usize {
        let lengths = (0..self.nfa.match_len(state)).map(|i| self.nfa.pattern_len(self.nfa.match_pattern(state, i)));
        lengths.max().unwrap_or(0)
    }
}

/// Walks every pattern once: the states on its way are its prefixes.
fn depths(nfa: &NFA, start: StateID, patterns: &[Vec<u8>]) -> Vec<u8> {
    let mut depths = Vec::new();
    for pattern in patterns {
        let mut state = start;
        for (&byte, depth) in pattern.iter().zip(1_u8..) {
            state = nfa.next_state(Anchored::No, state, byte);
            if depths.len() <= state.as_usize() {
                depths.resize(state.as_usize() + 1, 0);
            }
            depths[state.as_usize()] = depth;
        }
    }
    depths.shrink_to_fit();
    depths
}

/// A bit set over a hash of the first four bytes of all patterns: small enough for the first-level cache.
struct Starts(Box<[u8; 1 << Starts::BYTES_LOG2]>);

impl Starts {
    const BYTES_LOG2: u32 = 14;

    fn new(patterns: &[Vec<u8>]) -> Self {
        let mut bits = Box::new([0; 1 << Self::BYTES_LOG2]);
        for pattern in patterns {
            if let Some(first) = pattern.first_chunk() {
                let (byte, bit) = Self::slot(*first);
                bits[byte] |= bit;
            }
        }
        Self(bits)
    }

    /// The first place at or after `from` where a pattern may begin.
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut windows = text.get(from..)?.windows(SHORTEST);
        let skipped = windows.position(|window| {
            let (byte, bit) = Self::slot([window[0], window[1], window[2], window[3]]);
            self.0[byte] & bit != 0
        });
        skipped.map(|skipped| from + skipped)
    }

    /// Multiplicative hashing (Knuth, TAOCP 3, 6.4): the upper bits are the well-mixed ones.
    fn slot(window: [u8; SHORTEST]) -> (usize, u8) {
        let hash = u32::from_le_bytes(window).wrapping_mul(0x9E37_79B1);
        ((hash >> (32 - Self::BYTES_LOG2)) as usize, 1 << (hash >> (29 - Self::BYTES_LOG2) & 7))
    }
}
