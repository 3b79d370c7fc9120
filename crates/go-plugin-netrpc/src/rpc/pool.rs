//! The threads that run handlers, and the watchdog over them.
//!
//! Threads are started when a call finds none idle and end after a while without work. A handler
//! that does not return keeps its thread; its caller gets an error at the deadline.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::reply::{Call, Waiting};
use super::service::{CallFailure, Outcome};
use crate::limits::Limits;

/// How long a thread waits for work before it ends; one always stays.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) type Run = Box<dyn FnOnce() -> Outcome + Send>;

/// Runs the handlers of all connections.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    deadline: Duration,
    handlers: usize,
    waiting: usize,
    state: Mutex<State>,
    work: Condvar,
    watch: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Arc<Call>, Run)>,
    threads: usize,
    idle: usize,
    /// Calls in the order of their deadlines; answered ones are dropped in passing.
    deadlines: VecDeque<(Instant, Arc<Call>)>,
    unanswered: usize,
    watchdog: Watchdog,
}

#[derive(Default, PartialEq)]
enum Watchdog {
    #[default]
    NotStarted,
    /// Waits for the first call.
    Idle,
    /// Wakes in time for every call there is; later calls have later deadlines.
    Armed,
}

impl Pool {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shared = Shared {
            deadline: limits.call_deadline,
            handlers: limits.handlers.max(1),
            waiting: limits.waiting_calls,
            state: Mutex::default(),
            work: Condvar::new(),
            watch: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs a call on a thread of the pool, or answers it with the reason why not.
    pub(crate) fn submit(&self, call: Call, run: Run) {
        let call = Arc::new(call);
        let mut state = self.shared.lock();
        let waiting = state.queue.len();
        if waiting >= self.shared.waiting.max(1) {
            drop(state);
            let method = call.method().to_owned();
            call.fail(&CallFailure::Busy { method, waiting }, Waiting::Forbidden);
            return;
        }
        state.queue.push_back((Arc::clone(&call), run));
        self.watch(&mut state, call);
        if state.idle > waiting {
            self.shared.work.notify_one();
        } else if state.threads < self.shared.handlers {
            self.start_thread(&mut state);
        }
    }

    fn start_thread(&self, state: &mut State) {
        let pool = self.clone();
        let thread = thread::Builder::new().name("plugin-call".to_owned());
        match thread.spawn(move || pool.work()) {
            Ok(_detached) => state.threads += 1,
            Err(error) => {
                // Another thread takes the call, or its deadline passes.
                tracing::warn!("cannot start a thread for a call: {error}");
            }
        }
    }

    fn work(&self) {
        let mut state = self.shared.lock();
        loop {
            if let Some((call, run)) = state.queue.pop_front() {
                drop(state);
                if !call.is_answered() {
                    self.run(&call, run);
                }
                drop(call);
                state = self.shared.lock();
                continue;
            }
            state.idle += 1;
            let waited = self.shared.work.wait_timeout(state, IDLE);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() && state.threads > 1 {
                state.threads -= 1;
                return;
            }
        }
    }

    fn run(&self, call: &Arc<Call>, run: Run) {
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(run));
        let answered = match outcome {
            Ok(outcome) => call.answer(&outcome, Waiting::Allowed),
            Err(panic) => {
                let method = call.method().to_owned();
                let failure = CallFailure::Panicked { method, message: panic_message(panic) };
                call.fail(&failure, Waiting::Allowed)
            }
        };
        if answered {
            let mut state = self.shared.lock();
            state.unanswered = state.unanswered.saturating_sub(1);
        } else {
            let took = started.elapsed();
            tracing::warn!("{} returned after {took:.1?}, too late for its caller", call.method());
        }
    }

    fn watch(&self, state: &mut State, call: Arc<Call>) {
        let Some(deadline) = Instant::now().checked_add(self.shared.deadline) else {
            return;
        };
        state.unanswered += 1;
        state.deadlines.push_back((deadline, call));
        if state.deadlines.len() > 2 * state.unanswered + 64 {
            state.deadlines.retain(|(_, call)| !call.is_answered());
        }
        match state.watchdog {
            Watchdog::Armed => {}
            Watchdog::Idle => {
                state.watchdog = Watchdog::Armed;
                self.shared.watch.notify_one();
            }
            Watchdog::NotStarted => {
                let pool = self.clone();
                let thread = thread::Builder::new().name("plugin-watchdog".to_owned());
                match thread.spawn(move || pool.keep_watch()) {
                    Ok(_detached) => state.watchdog = Watchdog::Armed,
                    Err(error) => tracing::warn!("cannot start the watchdog: {error}"),
                }
            }
        }
    }

    fn keep_watch(&self) {
        let mut state = self.shared.lock();
        loop {
            while state.deadlines.front().is_some_and(|(_, call)| call.is_answered()) {
                state.deadlines.pop_front();
            }
            let Some((deadline, _)) = state.deadlines.front() else {
                state.watchdog = Watchdog::Idle;
                state = self.shared.watch.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left > Duration::ZERO {
                let waited = self.shared.watch.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let Some((_, call)) = state.deadlines.pop_front() else {
                continue;
            };
            drop(state);
            let failure = CallFailure::DeadlineExceeded {
                method: call.method().to_owned(),
                limit: self.shared.deadline,
            };
            let failed = call.fail(&failure, Waiting::Forbidden);
            if failed {
                tracing::error!("{failure}");
            }
            state = self.shared.lock();
            state.unanswered = state.unanswered.saturating_sub(usize::from(failed));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let message = match panic.downcast::<String>() {
        Ok(message) => return *message,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(message) => return (*message).to_owned(),
            Err(panic) => catch_unwind(AssertUnwindSafe(move || drop(panic))),
        },
    };
    // The payload's own destructor may panic, and the payload of that one too: let that one leak.
    if let Err(panic) = message {
        std::mem::forget(panic);
    }
    "a value that is not text".to_owned()
}
