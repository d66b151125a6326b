use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Condvar;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::*;

const APP: AppKey = AppKey(1);
const OTHER: AppKey = AppKey(2);

/// More than anything here takes. Only a test that fails waits for so long.
const LONG: Duration = Duration::from_secs(20);

/// Names as a test has them. Those that begin with `hangs` are not answered until it says so.
#[derive(Clone, Default)]
struct Names(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    answered: bool,
    asked: Vec<String>,
}

impl Names {
    fn look_ups(&self) -> LookUps {
        let names = self.clone();
        LookUps::new(Box::new(move |name| names.resolve(name)), LookUpGauges::default())
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.asked.push(name.to_owned());
        changed.notify_all();
        while name.starts_with("hangs") && !state.answered {
            state = changed.wait(state).unwrap();
        }
        drop(state);
        assert!(!name.contains("panics"), "as the test wants it");
        match name.contains("fails") {
            true => Err(io::Error::other("no such name")),
            false => Ok(vec!["192.0.2.7:0".parse().unwrap()]),
        }
    }

    /// All that hang are answered, those that come too.
    fn answer(&self) {
        self.0.0.lock().unwrap().answered = true;
        self.0.1.notify_all();
    }

    /// What was asked, as soon as it was so many.
    fn asked(&self, at_least: usize) -> Vec<String> {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        let few = |state: &mut State| state.asked.len() < at_least;
        let (state, waited) = changed.wait_timeout_while(state, LONG, few).unwrap();
        let asked = state.asked.clone();
        drop(state);
        assert!(!waited.timed_out(), "{asked:?}");
        asked
    }
}

type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// An attempt that has come so far that it waits.
fn waiting(look_ups: &LookUps, app: AppKey, name: &str) -> Asking {
    let (look_ups, name) = (look_ups.clone(), name.to_owned());
    let asking = async move { look_ups.addresses(app, &name, 443).await };
    // Many are polled in one turn of the test's task: they wait for what they say they wait for, not for the next turn.
    let mut asking: Asking = Box::pin(unconstrained(asking));
    assert!(asking.as_mut().now_or_never().is_none());
    asking
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("it should not have to wait")
}

fn found() -> Answer {
    Ok(vec!["192.0.2.7:443".parse().unwrap()])
}

#[tokio::test]
async fn a_name_that_hangs_leaves_room_for_others_however_many_attempts_wait_for_it() {
    let names = Names::default();
    let look_ups = names.look_ups();
    let mut attempts: Vec<_> = (0..300)
        .map(|_| waiting(&look_ups, APP, "hangs.example"))
        .collect();
    assert_eq!(names.asked(1), ["hangs.example"]);
    // Their clock runs out, and they are made again.
    attempts.drain(..256);
    attempts.extend((0..256).map(|_| waiting(&look_ups, APP, "hangs.example")));
    for n in 0..2 * MOST {
        let name = format!("{n}.example");
        let app = if n % 2 == 0 { APP } else { OTHER };
        assert_eq!(soon(look_ups.addresses(app, &name, 443)).await, found());
    }
    assert_eq!(names.asked(0).len(), 1 + 2 * MOST);
    names.answer();
}

#[tokio::test]
async fn names_of_one_application_that_hang_leave_room_for_others() {
    let names = Names::default();
    let look_ups = names.look_ups();
    let ask = |n: usize| waiting(&look_ups, APP, &format!("hangs{n}.example"));
    let mut attempts: Vec<_> = (0..300).map(ask).collect();
    assert_eq!(names.asked(MOST_OF_AN_APP).len(), MOST_OF_AN_APP);
    let shown = || {
        let gauges = &look_ups.inner.gauges;
        (gauges.under_way.get(), gauges.waiting.get())
    };
    assert_eq!(shown(), (32, 300 - 32));
    // Those that began are given up: their threads are still there, so nothing takes their place.
    attempts.drain(..256);
    attempts.extend((300..556).map(ask));
    for n in 0..2 * MOST {
        let name = format!("{n}.example");
        assert_eq!(soon(look_ups.addresses(OTHER, &name, 443)).await, found());
    }
    let hanging = |asked: Vec<String>| asked.iter().filter(|name| name.starts_with("hangs")).count();
    assert_eq!(hanging(names.asked(0)), MOST_OF_AN_APP);
    names.answer();
    for answer in soon(join_all(attempts)).await {
        assert_eq!(answer, found());
    }
    // What was given up while it waited for room was not looked up: 44 of the first 300 were kept.
    assert_eq!(hanging(names.asked(0)), MOST_OF_AN_APP + 44 + 256);
    assert_eq!(shown(), (0, 0));
}

#[tokio::test]
async fn all_applications_together_have_no_more_than_there_are() {
    let names = Names::default();
    let look_ups = names.look_ups();
    let attempts: Vec<_> = (0..2 * MOST)
        .map(|n| {
            let app = AppKey(i64::try_from(n / 16).unwrap());
            waiting(&look_ups, app, &format!("hangs{n}.example"))
        })
        .collect();
    assert_eq!(names.asked(MOST).len(), MOST);
    names.answer();
    assert!(
        soon(join_all(attempts))
            .await
            .into_iter()
            .all(|answer| answer == found())
    );
    assert_eq!(
        names.asked(0).into_iter().collect::<BTreeSet<_>>().len(),
        2 * MOST
    );
}

#[tokio::test]
async fn all_who_wait_get_the_answer_of_one_look_up_also_an_error() {
    let names = Names::default();
    let look_ups = names.look_ups();
    for (name, answer) in [
        ("hangs.example", found()),
        ("hangs-and-fails.example", Err("no such name".to_owned())),
        ("hangs-and-panics.example", Err(BROKE_OFF.to_owned())),
    ] {
        names.0.0.lock().unwrap().answered = false;
        let before = names.asked(0).len();
        let attempts: Vec<_> = (0..20)
            .map(|n| waiting(&look_ups, if n % 2 == 0 { APP } else { OTHER }, name))
            .collect();
        names.answer();
        for got in soon(join_all(attempts)).await {
            assert_eq!(got, answer, "{name}");
        }
        assert_eq!(names.asked(0)[before..], [name]);
        // It is not kept: the next one has it looked up anew.
        assert_eq!(soon(look_ups.addresses(APP, name, 443)).await, answer);
        assert_eq!(names.asked(0)[before..], [name, name]);
    }
    let left = look_ups.under_way();
    assert!(left.names.is_empty() && left.shares.is_empty());
    assert_eq!(look_ups.inner.places.available_permits(), MOST);
}

#[tokio::test]
async fn a_look_up_goes_on_when_the_attempt_that_began_it_gives_up() {
    let names = Names::default();
    let look_ups = names.look_ups();
    let first = waiting(&look_ups, APP, "hangs.example");
    let second = waiting(&look_ups, APP, "hangs.example");
    drop(first);
    let third = waiting(&look_ups, OTHER, "hangs.example");
    drop(second);
    names.asked(1);
    names.answer();
    assert_eq!(soon(third).await, found());
    assert_eq!(names.asked(0), ["hangs.example"]);
}

#[tokio::test]
async fn one_who_waits_for_room_holds_up_nobody_else_with_the_same_name_and_joins_them() {
    let names = Names::default();
    let look_ups = names.look_ups();
    let full: Vec<_> = (0..MOST_OF_AN_APP)
        .map(|n| waiting(&look_ups, APP, &format!("hangs{n}.example")))
        .collect();
    let mut waits = waiting(&look_ups, APP, "hangs-too.example");
    let given_up = waiting(&look_ups, APP, "other.example");
    assert_eq!(
        soon(look_ups.addresses(OTHER, "other.example", 443)).await,
        found()
    );
    drop(given_up);
    let began = waiting(&look_ups, OTHER, "hangs-too.example");
    assert_eq!(names.asked(MOST_OF_AN_APP + 2).len(), MOST_OF_AN_APP + 2);
    assert!(waits.as_mut().now_or_never().is_none(), "it joins");
    names.answer();
    for answer in soon(join_all([waits, began].into_iter().chain(full))).await {
        assert_eq!(answer, found());
    }
    assert_eq!(names.asked(0).len(), MOST_OF_AN_APP + 2);
}
