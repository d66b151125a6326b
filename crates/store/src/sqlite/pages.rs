//! What of a database file can be looked at quickly, whatever its size: the list of free pages, and of every tree the pages
//! above its leaves, of which there is one for some hundred. Damage there would hide whole stretches of a table.
//!
//! Leaves and what overflows from them are not read: that a page of theirs is damaged is found when it is needed.
//!
//! Format: sqlite.org/fileformat2.html.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const HEAD: usize = 100;
const INTERIOR_INDEX: u8 = 2;
const INTERIOR_TABLE: u8 = 5;
const LEAF_INDEX: u8 = 10;
const LEAF_TABLE: u8 = 13;
/// No tree of 2^32 pages is higher, even with two children a page on average.
const HIGHEST: usize = 32;

/// What is wrong in a database file that nobody writes to, with all of its log in it: none, or the first thing found. `roots`
/// are the roots of its trees as its schema names them.
///
/// # Errors
/// The file cannot be read.
pub(super) fn look(file: &File, roots: &[u32]) -> io::Result<Option<String>> {
    let mut pages = Pages::of(file)?;
    match pages.walk(roots) {
        Ok(()) => Ok(None),
        Err(Stop::Wrong(what)) => Ok(Some(what)),
        Err(Stop::Io(error)) => Err(error),
    }
}

enum Stop {
    Wrong(String),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn wrong<T>(what: String) -> Result<T, Stop> {
    Err(Stop::Wrong(what))
}

struct Pages<'a> {
    file: &'a File,
    size: usize,
    usable: usize,
    count: u32,
    first_free: u32,
    free: u32,
    /// Pages that have their place, a bit each.
    seen: Vec<u64>,
}

/// A page above the leaves.
struct Interior {
    kind: u8,
    children: Vec<u32>,
}

impl<'a> Pages<'a> {
    fn of(file: &'a File) -> io::Result<Self> {
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0)?;
        let size = match half(&head, 16) {
            1 => 65536,
            size => size,
        };
        let count = word(&head, 28);
        Ok(Self {
            file,
            size,
            usable: size.saturating_sub(usize::from(head[20])),
            count,
            first_free: word(&head, 32),
            free: word(&head, 36),
            seen: vec![0; count as usize / 64 + 1],
        })
    }

    fn walk(&mut self, roots: &[u32]) -> Result<(), Stop> {
        self.free_list()?;
        for root in roots {
            self.tree(*root)?;
        }
        Ok(())
    }

    fn free_list(&mut self) -> Result<(), Stop> {
        let (mut trunk, mut found) = (self.first_free, 0);
        while trunk != 0 {
            self.take(trunk, "the list of free pages")?;
            let page = self.read(trunk)?;
            let listed = word(&page, 4) as usize;
            if listed > self.usable / 4 - 2 {
                return wrong(format!(
                    "page {trunk}, of the list of free pages, names {listed} pages"
                ));
            }
            for n in 0..listed {
                self.take(word(&page, 8 + 4 * n), "the list of free pages")?;
            }
            found += 1 + listed;
            trunk = word(&page, 0);
        }
        match found == self.free as usize {
            true => Ok(()),
            false => wrong(format!("{found} pages are listed as free, not {}", self.free)),
        }
    }

    fn tree(&mut self, root: u32) -> Result<(), Stop> {
        self.take(root, "the schema")?;
        let height = self.height(root)?;
        let mut level = vec![root];
        for above in (0..height).rev() {
            let mut below = Vec::new();
            for page in level {
                let Some(interior) = self.interior(page)? else {
                    return wrong(format!(
                        "page {page} is a leaf, {above} pages above the leaves of its tree"
                    ));
                };
                for child in interior.children {
                    self.take(child, &format!("page {page}"))?;
                    below.push(child);
                }
            }
            level = if above == 0 { Vec::new() } else { below };
        }
        Ok(())
    }

    /// How many pages are above a leaf; those at the right edge are read.
    fn height(&self, root: u32) -> Result<usize, Stop> {
        let (mut page, mut family) = (root, None);
        for height in 0..HIGHEST {
            match self.interior(page)? {
                None => return Ok(height),
                Some(interior) => {
                    if family.is_some_and(|family| family != interior.kind) {
                        return wrong(format!("page {page} is of another kind than those above it"));
                    }
                    family = Some(interior.kind);
                    page = interior.children.last().copied().unwrap_or(0);
                    if page == 0 || page > self.count {
                        return wrong(format!(
                            "the tree of page {root} names page {page} of {}",
                            self.count
                        ));
                    }
                }
            }
        }
        wrong(format!("the tree of page {root} has no end"))
    }

    /// The page, if it is above the leaves; none: it is a leaf.
    fn interior(&self, number: u32) -> Result<Option<Interior>, Stop> {
        let page = self.read(number)?;
        let at = if number == 1 { HEAD } else { 0 };
        let kind = page.get(at).copied().unwrap_or(0);
        match kind {
            LEAF_INDEX | LEAF_TABLE => return Ok(None),
            INTERIOR_INDEX | INTERIOR_TABLE => {}
            _ => return wrong(format!("page {number} is no page of a tree")),
        }
        let cells = half(&page, at + 3);
        if at + 12 + 2 * cells > self.usable {
            return wrong(format!("page {number} has {cells} cells"));
        }
        let mut children = Vec::with_capacity(cells + 1);
        for n in 0..cells {
            let cell = half(&page, at + 12 + 2 * n);
            if cell < at + 12 + 2 * cells || cell + 4 > self.usable {
                return wrong(format!("a cell of page {number} is outside of it"));
            }
            children.push(word(&page, cell));
        }
        children.push(word(&page, at + 8));
        Ok(Some(Interior { kind, children }))
    }

    /// Gives a page its place: there is one for each.
    fn take(&mut self, page: u32, by: &str) -> Result<(), Stop> {
        if page == 0 || page > self.count {
            return wrong(format!("{by} names page {page} of {}", self.count));
        }
        let (place, bit) = (page as usize / 64, 1u64 << (page % 64));
        match self.seen.get_mut(place) {
            Some(bits) if *bits & bit == 0 => {
                *bits |= bit;
                Ok(())
            }
            Some(_) | None => wrong(format!("page {page}, named by {by}, has another place too")),
        }
    }

    fn read(&self, page: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.size];
        let at = u64::from(page.saturating_sub(1)) * self.size as u64;
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

fn half(bytes: &[u8], at: usize) -> usize {
    let half = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    usize::from(u16::from_be_bytes(half.unwrap_or_default()))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    u32::from_be_bytes(word.unwrap_or_default())
}

#[cfg(test)]
mod tests;
