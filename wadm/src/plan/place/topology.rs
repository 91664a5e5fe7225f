//! Spreading over the values of labels: as evenly as room allows, never further apart than the labels' max skew. (What
//! runs further apart already, since the hosts changed, is moved where it can be, but not stopped for it.)

use std::cmp::{Ordering, Reverse};

use super::{fit::Fit, hosts::mix};

/// Instances on the cells of a topology.
pub(super) struct Cells<'a> {
    fit: &'a Fit,
    /// By dimension: how far apart two values may be.
    skews: &'a [u32],
    /// The most that each cell may have.
    rooms: &'a [u32],
    /// Where it runs, perhaps for another spread: between equals these come first.
    holders: &'a [u32],
    /// Whose order it is.
    unit: u64,
    counts: Vec<u32>,
    /// By dimension and value.
    by_value: Vec<Vec<u32>>,
    total: u32,
    is_limited: bool,
}

impl<'a> Cells<'a> {
    /// Begins with what is there now.
    pub(super) fn new(
        fit: &'a Fit,
        skews: &'a [u32],
        rooms: &'a [u32],
        holders: &'a [u32],
        unit: u64,
        now: &[u32],
    ) -> Self {
        let values = fit.dimensions.iter();
        let mut cells = Self {
            fit,
            skews,
            rooms,
            holders,
            unit,
            counts: vec![0; fit.cells.len()],
            by_value: values.map(|one| vec![0; one.values.len()]).collect(),
            total: 0,
            is_limited: false,
        };
        for (cell, count) in now.iter().enumerate() {
            cells.change(cell, *count, 0);
        }
        cells
    }

    /// Comes to the wanted number as evenly as it can; with `keeps_all` nothing is taken away or moved. Gives each
    /// cell's instances, and whether more room could have made it any different.
    pub(super) fn spread(mut self, wanted: u32, keeps_all: bool) -> (Vec<u32>, bool) {
        while !keeps_all && self.total > wanted {
            let Some(fullest) = self.fullest() else { break };
            self.change(fullest, 0, 1);
        }
        loop {
            while self.total < wanted
                && let Some(cell) = self.emptiest()
            {
                self.change(cell, 1, 0);
            }
            if keeps_all || !self.improve() {
                return (self.counts, self.is_limited || self.total < wanted);
            }
        }
    }

    /// Takes away what came during this plan and is too much since others took room elsewhere. `ran` is what each cell
    /// had before: that is left alone.
    pub(super) fn trim(&mut self, ran: &[u32]) {
        let mut ran_by_value: Vec<Vec<u32>> = self.by_value.clone();
        for values in &mut ran_by_value {
            values.fill(0);
        }
        for (cell, count) in self.fit.cells.iter().zip(ran) {
            for (values, value) in ran_by_value.iter_mut().zip(&cell.values) {
                values[*value as usize] += count;
            }
        }
        while let Some((dimension, value)) = self.too_much(&ran_by_value) {
            let fullest = (0..self.counts.len())
                .filter(|cell| self.counts[*cell] > 0)
                .filter(|cell| self.fit.cells[*cell].values[dimension] as usize == value)
                .max_by(|a, b| self.order(*a, *b));
            let Some(fullest) = fullest else { return };
            self.change(fullest, 0, 1);
        }
    }

    /// A dimension and a value of it that has too much, and more than before.
    fn too_much(&self, before: &[Vec<u32>]) -> Option<(usize, usize)> {
        let dimensions = self.by_value.iter().zip(before).enumerate();
        dimensions
            .into_iter()
            .find_map(|(dimension, (values, before))| {
                let least = values.iter().copied().min().unwrap_or(0);
                let mut counts = values.iter().zip(before);
                let value = counts.position(|(count, before)| {
                    count - least > self.skews[dimension] && count > before
                });
                Some((dimension, value?))
            })
    }

    fn change(&mut self, cell: usize, more: u32, less: u32) {
        let change = |count: &mut u32| *count = count.saturating_add(more).saturating_sub(less);
        change(&mut self.counts[cell]);
        change(&mut self.total);
        for (values, value) in self.by_value.iter_mut().zip(&self.fit.cells[cell].values) {
            change(&mut values[*value as usize]);
        }
    }

    /// Where one less makes it most even.
    fn fullest(&self) -> Option<usize> {
        (0..self.counts.len())
            .filter(|cell| self.counts[*cell] > 0)
            .max_by(|a, b| self.order(*a, *b))
    }

    /// Where one more is most even and breaks no rule.
    fn emptiest(&mut self) -> Option<usize> {
        let least: Vec<u32> = self
            .by_value
            .iter()
            .map(|values| values.iter().copied().min().unwrap_or(0))
            .collect();
        let mut best: Option<usize> = None;
        for cell in 0..self.counts.len() {
            let is_better = best.is_none_or(|best| self.order(cell, best) == Ordering::Less);
            if !is_better || !self.keeps_skew(cell, &least) {
                continue;
            }
            if self.counts[cell] >= self.rooms[cell] {
                self.is_limited = true;
                continue;
            }
            best = Some(cell);
        }
        best
    }

    fn keeps_skew(&self, cell: usize, least: &[u32]) -> bool {
        let values = &self.fit.cells[cell].values;
        (0..least.len()).all(|dimension| {
            let count = self.by_value[dimension][values[dimension] as usize];
            count - least[dimension] < self.skews[dimension]
        })
    }

    /// Moves one instance if that makes it more even.
    fn improve(&mut self) -> bool {
        let mut sources: Vec<usize> = (0..self.counts.len())
            .filter(|cell| self.counts[*cell] > 0)
            .collect();
        sources.sort_by(|a, b| self.order(*b, *a));
        let mut targets: Vec<usize> = (0..self.counts.len()).collect();
        targets.sort_by(|a, b| self.order(*a, *b));
        let bounds: Vec<(u32, u32)> = self
            .by_value
            .iter()
            .map(|values| {
                let least = values.iter().copied().min().unwrap_or(0);
                (least, values.iter().copied().max().unwrap_or(0))
            })
            .collect();
        for source in sources {
            for target in &targets {
                if !self.is_better(source, *target, &bounds) {
                    continue;
                }
                if self.counts[*target] >= self.rooms[*target] {
                    self.is_limited = true;
                    continue;
                }
                self.change(source, 0, 1);
                self.change(*target, 1, 0);
                return true;
            }
        }
        false
    }

    /// Whether one moved makes the first label that it changes more even, and none worse than allowed.
    fn is_better(&self, source: usize, target: usize, bounds: &[(u32, u32)]) -> bool {
        let (from, to) = (
            &self.fit.cells[source].values,
            &self.fit.cells[target].values,
        );
        let mut is_decided = false;
        for (dimension, (least, most)) in bounds.iter().enumerate() {
            if from[dimension] == to[dimension] {
                continue;
            }
            let values = &self.by_value[dimension];
            let more = values[to[dimension] as usize] + 1;
            let less = values[from[dimension] as usize] - 1;
            // What is moved must not be too much where it comes to, even if there was more where it was.
            if more - least > self.skews[dimension] {
                return false;
            }
            match more.cmp(&(less + 1)) {
                Ordering::Less => is_decided = true,
                Ordering::Equal => {}
                Ordering::Greater => {
                    let apart = (*most).max(more) - (*least).min(less);
                    if !is_decided || apart > self.skews[dimension] {
                        return false;
                    }
                }
            }
        }
        is_decided
    }

    /// From the emptiest to the fullest.
    fn order(&self, a: usize, b: usize) -> Ordering {
        let (of_a, of_b) = (&self.fit.cells[a], &self.fit.cells[b]);
        for (dimension, values) in self.by_value.iter().enumerate() {
            let count = |values: &[u32], cell: &[u32]| values[cell[dimension] as usize];
            let order = count(values, &of_a.values).cmp(&count(values, &of_b.values));
            if order.is_ne() {
                return order;
            }
        }
        // Instances for each host.
        let load = |cell: usize, other: usize| {
            self.counts[cell] as usize * self.fit.cells[other].hosts.len()
        };
        let holds = |cell: usize| Reverse(self.holders[cell] > self.counts[cell]);
        let rank = |cell: usize| (mix(self.unit ^ self.fit.cells[cell].hash), cell);
        load(a, b)
            .cmp(&load(b, a))
            .then_with(|| holds(a).cmp(&holds(b)))
            .then_with(|| rank(a).cmp(&rank(b)))
    }
}
