//! Ranges of page numbers.

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRange {
    /// The first page.
    pub(crate) page: u64,
    /// How many, at least 1.
    pub(crate) count: u64,
}

impl PageRange {
    /// The page after the last one.
    pub(crate) fn end(&self) -> u64 {
        self.page + self.count
    }
}

/// Adds one page behind all others, joining it to the last range where it continues that.
pub(crate) fn push_page(ranges: &mut Vec<PageRange>, page: u64) {
    push_range(ranges, PageRange { page, count: 1 });
}

/// Adds a range behind all others, joining it to the last one where it continues that.
pub(crate) fn push_range(ranges: &mut Vec<PageRange>, range: PageRange) {
    match ranges.last_mut() {
        Some(last) if last.end() == range.page => last.count += range.count,
        _ => ranges.push(range),
    }
}

/// The pages of `from` that are in none of `without`. Both ascend and do not overlap.
pub(crate) fn subtract(
    from: impl IntoIterator<Item = PageRange>,
    without: &[PageRange],
) -> Vec<PageRange> {
    let mut left = Vec::new();
    let mut index = 0;
    for range in from {
        let mut page = range.page;
        while index < without.len() && without[index].end() <= page {
            index += 1;
        }
        let mut next = index;
        while let Some(hole) = without.get(next).filter(|hole| hole.page < range.end()) {
            if hole.page > page {
                push_range(
                    &mut left,
                    PageRange {
                        page,
                        count: hole.page - page,
                    },
                );
            }
            page = page.max(hole.end());
            next += 1;
        }
        if page < range.end() {
            push_range(
                &mut left,
                PageRange {
                    page,
                    count: range.end() - page,
                },
            );
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(pages: &[bool]) -> Vec<PageRange> {
        let mut ranges = Vec::new();
        for (page, _) in pages.iter().enumerate().filter(|(_, set)| **set) {
            push_page(&mut ranges, page as u64);
        }
        ranges
    }

    proptest! {
        #[test]
        fn subtraction_agrees_with_sets(pages in proptest::collection::vec(any::<(bool, bool)>(), 0..60)) {
            let from: Vec<bool> = pages.iter().map(|(a, _)| *a).collect();
            let without: Vec<bool> = pages.iter().map(|(_, b)| *b).collect();
            let left: Vec<bool> = pages.iter().map(|(a, b)| *a && !*b).collect();
            prop_assert_eq!(subtract(ranges(&from), &ranges(&without)), ranges(&left));
        }
    }
}
