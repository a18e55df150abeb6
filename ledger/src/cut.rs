//! How little less has to move so that every account keeps its limits.
//!
//! To pay `y` less leaves `y` more with the source and `y` less with the target.
//! So what is paid less is a flow: it starts where an account is short, goes
//! along payments, and ends where an account has some to spare. The cheapest
//! such flow, every unit of it counted once for each payment it goes along, is
//! the least that can be cut. It is found by shortest paths, one after the other,
//! which may also take back what an earlier one has cut.
//!
//! Only what locks bring in can be too much: with everything else cut, every
//! account is as it was before.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::amount::Amount;

/// An account and its limits; without a limit nothing is judged there.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) net: Amount,
    pub(crate) lower: Option<Amount>,
    pub(crate) upper: Option<Amount>,
}

/// Something between two places that may be cut.
#[derive(Debug)]
pub(crate) struct Arc {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// By how much it may still be cut.
    pub(crate) left: Amount,
    /// By how much it was cut.
    pub(crate) cut: Amount,
    /// It changes in any case: to cut it as well costs nobody a signature more.
    pub(crate) changes: bool,
}

/// Places and what moves between them.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) places: Vec<Place>,
    pub(crate) arcs: Vec<Arc>,
}

/// Steps that are looked at in all, at most: a hundred payments take a tenth.
const STEPS_MAX: usize = 200_000;

/// What a path that mends an account is worth, in payments along the path.
const MENDS: i32 = 1_000;

/// An arc in a path, or one taken back.
#[derive(Clone, Copy)]
struct Step {
    arc: usize,
    back: bool,
}

/// The best path to a place that is known.
#[derive(Clone, Copy)]
struct Way {
    cost: i32,
    /// Arcs that were not cut before.
    fresh: u32,
    narrowest: Option<Step>,
    last: Option<Step>,
}

/// Where a path ends, and how much less it moves at most.
struct Best {
    cost: i32,
    fresh: u32,
    width: Option<Amount>,
    end: usize,
}

impl Place {
    /// By how much it is below its lower limit.
    fn short(&self) -> Option<Amount> {
        let lower = self.lower.as_ref().filter(|lower| self.net < **lower)?;
        Some(lower.minus(&self.net))
    }

    /// By how much it is above its upper limit.
    pub(crate) fn over(&self) -> Option<Amount> {
        let upper = self.upper.as_ref().filter(|upper| self.net > **upper)?;
        Some(self.net.minus(upper))
    }
}

/// The smaller of two, of which none is unbounded.
fn smaller(one: Option<Amount>, other: Option<Amount>) -> Option<Amount> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Network {
    /// Cuts the arcs by the least in all that lets every place keep its limits.
    /// Of ways that cut as little, one that cuts few arcs; if one arc is enough, one.
    /// `false`: there is none, or it takes too long to find.
    pub(crate) fn mend(&mut self) -> bool {
        let mut steps: Vec<Vec<Step>> = self.places.iter().map(|_| Vec::new()).collect();
        for (i, arc) in self.arcs.iter().enumerate() {
            steps[arc.from].push(Step { arc: i, back: false });
            steps[arc.to].push(Step { arc: i, back: true });
        }
        // Not only until all limits are kept: with them kept, a payment may turn out
        // to have been cut in vain. Each path takes of the budget, so this ends.
        let mut budget = STEPS_MAX;
        while let Some(ways) = self.ways(&steps, &mut budget)
            && let Some(best) = self.best(&ways)
        {
            self.push(&ways, best.end);
        }
        self.places.iter().all(|place| place.short().is_none() && place.over().is_none())
    }

    fn room(&self, step: Step) -> &Amount {
        let arc = &self.arcs[step.arc];
        if step.back { &arc.cut } else { &arc.left }
    }

    /// Wider ways first: no narrowest arc is the widest.
    fn wider(&self, one: Option<Step>, other: Option<Step>) -> Ordering {
        match (one, other) {
            (Some(one), Some(other)) => self.room(other).cmp(self.room(one)),
            (one, other) => one.is_some().cmp(&other.is_some()),
        }
    }

    /// The best way to each place. `None`: the budget is used up.
    fn ways(&self, steps: &[Vec<Step>], budget: &mut usize) -> Option<Vec<Option<Way>>> {
        let mut ways: Vec<Option<Way>> = Vec::with_capacity(self.places.len());
        for place in &self.places {
            // Whoever has room above may as well keep more.
            let has_room = place.upper.as_ref().is_none_or(|upper| place.net < *upper);
            let cost = match place.short() {
                Some(_) => Some(-MENDS),
                None => has_room.then_some(0),
            };
            ways.push(cost.map(|cost| Way { cost, fresh: 0, narrowest: None, last: None }));
        }
        let mut waiting: VecDeque<usize> =
            (0..ways.len()).filter(|at| ways[*at].is_some()).collect();
        let mut is_waiting: Vec<bool> = ways.iter().map(Option::is_some).collect();
        while let Some(at) = waiting.pop_front() {
            is_waiting[at] = false;
            let Some(way) = ways[at] else { continue };
            *budget = budget.checked_sub(steps[at].len())?;
            for &step in steps[at].iter().filter(|step| !self.room(**step).is_zero()) {
                let arc = &self.arcs[step.arc];
                let to = if step.back { arc.from } else { arc.to };
                let narrows = self.wider(way.narrowest, Some(step)).is_lt();
                let next = Way {
                    cost: way.cost + if step.back { -1 } else { 1 },
                    fresh: way.fresh + u32::from(!step.back && !arc.changes && arc.cut.is_zero()),
                    narrowest: if narrows { Some(step) } else { way.narrowest },
                    last: Some(step),
                };
                if ways[to].is_none_or(|known| self.is_better(&next, &known)) {
                    ways[to] = Some(next);
                    if !std::mem::replace(&mut is_waiting[to], true) {
                        waiting.push_back(to);
                    }
                }
            }
        }
        Some(ways)
    }

    fn is_better(&self, one: &Way, other: &Way) -> bool {
        let order = one.cost.cmp(&other.cost).then(one.fresh.cmp(&other.fresh));
        order.then_with(|| self.wider(one.narrowest, other.narrowest)).is_lt()
    }

    /// The place that the best way of all leads to, if any mends something or cuts less.
    fn best(&self, ways: &[Option<Way>]) -> Option<Best> {
        let mut best: Option<Best> = None;
        for (end, (place, way)) in self.places.iter().zip(ways).enumerate() {
            let Some(way) = way.filter(|way| way.last.is_some()) else { continue };
            let over = place.over();
            let spare = place.lower.as_ref().is_none_or(|lower| place.net > *lower);
            if over.is_none() && !spare {
                continue;
            }
            let cost = way.cost - if over.is_some() { MENDS } else { 0 };
            let worse = |best: &Best| (cost, way.fresh) > (best.cost, best.fresh);
            if cost >= 0 || best.as_ref().is_some_and(worse) {
                continue;
            }
            let width = self.width(ways, end, true);
            let is_first = best.as_ref().is_none_or(|best| {
                let wider = match (&width, &best.width) {
                    (Some(width), Some(known)) => width > known,
                    (width, known) => width.is_none() && known.is_some(),
                };
                (cost, way.fresh) < (best.cost, best.fresh) || wider
            });
            if is_first {
                best = Some(Best { cost, fresh: way.fresh, width, end });
            }
        }
        best
    }

    /// Where a way begins.
    fn start(&self, ways: &[Option<Way>], end: usize) -> usize {
        let mut at = end;
        while let Some(step) = ways[at].and_then(|way| way.last) {
            let arc = &self.arcs[step.arc];
            at = if step.back { arc.to } else { arc.from };
        }
        at
    }

    /// How much may go along a way; or, of one that mends both its ends, how much
    /// its arcs could take of what the worse end needs.
    fn width(&self, ways: &[Option<Way>], end: usize, of_both: bool) -> Option<Amount> {
        let (first, last) = (&self.places[self.start(ways, end)], &self.places[end]);
        let narrowest = ways[end].and_then(|way| way.narrowest);
        let ends = match (first.short(), last.over()) {
            (Some(short), Some(over)) if of_both => Some(short.max(over)),
            (short, over) => {
                let emits = || first.upper.as_ref().map(|upper| upper.minus(&first.net));
                let takes = || last.lower.as_ref().map(|lower| last.net.minus(lower));
                smaller(short.or_else(emits), over.or_else(takes))
            }
        };
        smaller(narrowest.map(|step| self.room(step).clone()), ends)
    }

    /// Cuts along a way as much as it takes.
    fn push(&mut self, ways: &[Option<Way>], end: usize) {
        let Some(less) = self.width(ways, end, false) else { return };
        let mut at = end;
        while let Some(step) = ways[at].and_then(|way| way.last) {
            let arc = &mut self.arcs[step.arc];
            let less = if step.back { less.negated() } else { less.clone() };
            arc.cut = arc.cut.plus(&less);
            arc.left = arc.left.minus(&less);
            at = if step.back { arc.to } else { arc.from };
        }
        let (first, last) = (&mut self.places[at].net, end);
        *first = first.plus(&less);
        let last = &mut self.places[last].net;
        *last = last.minus(&less);
    }
}
