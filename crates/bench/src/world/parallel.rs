//! Work in parallel on one thread: workers that take numbers from one shared count.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use tokio::task::{JoinHandle, spawn_local};

/// Does `work` once for each of `numbers`; each worker has one of `tools` for itself. Gives the results in the order of the
/// numbers. The first failure ends it.
pub(crate) async fn each<C, T, F>(tools: Vec<C>, numbers: Range<u64>, work: F) -> anyhow::Result<Vec<T>>
where
    C: 'static,
    T: 'static,
    F: AsyncFn(&mut C, u64) -> anyhow::Result<T> + 'static,
{
    let (next, work) = (Rc::new(Cell::new(numbers.start)), Rc::new(work));
    let results = Rc::new(RefCell::new(Vec::new()));
    let workers = tools.into_iter().map(|mut tool| {
        let (next, work, results) = (Rc::clone(&next), Rc::clone(&work), Rc::clone(&results));
        spawn_local(async move {
            while let Some(number) = take(&next, numbers.end) {
                let result = work(&mut tool, number).await?;
                results.borrow_mut().push((number, result));
            }
            anyhow::Ok(())
        })
    });
    ended(workers.collect()).await?;
    let mut results = results.take();
    results.sort_unstable_by_key(|(number, _)| *number);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// The next number before `end`.
pub(crate) fn take(next: &Cell<u64>, end: u64) -> Option<u64> {
    let number = next.get();
    (number < end).then(|| next.set(number + 1))?;
    Some(number)
}

/// Waits for all workers.
pub(crate) async fn ended(workers: Vec<JoinHandle<anyhow::Result<()>>>) -> anyhow::Result<()> {
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_is_done_once_and_comes_back_in_order() {
        let local = tokio::task::LocalSet::new();
        let tools = vec![0u64; 3];
        let work = async |done: &mut u64, n: u64| {
            *done += 1;
            for _ in 0..n % 3 {
                tokio::task::yield_now().await;
            }
            Ok(n * 2)
        };
        let results = local.run_until(each(tools, 5..25, work)).await;
        let expected: Vec<u64> = (5..25).map(|n| n * 2).collect();
        assert_eq!(results.expect("no work fails"), expected);
    }
}
