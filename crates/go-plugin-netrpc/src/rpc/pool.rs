//! The threads that run handlers, and the watchdog over them.
//!
//! Threads are started when a call finds none idle and end after a while without work. A handler
//! that does not return keeps its thread; its caller gets an error at the deadline, and the thread
//! no longer counts.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::reply::{Call, Waiting};
use super::service::{CallFailure, Outcome};
use crate::limits::Limits;

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// How long a call may wait for threads that are at work already before another one takes it.
///
/// On a busy machine, a thread for every call would mostly cost switches between them.
const PATIENCE: Duration = Duration::from_millis(2);

/// Threads at work from which a call waits for [`PATIENCE`].
const EAGER: usize = 2;

pub(crate) type Run = Box<dyn FnOnce() -> Outcome + Send>;

/// Runs the handlers of all connections.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    deadline: Duration,
    handlers: usize,
    stuck_handlers: usize,
    waiting: usize,
    state: Mutex<State>,
    work: Condvar,
    watch: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Task>,
    threads: usize,
    /// Threads whose call is past its deadline.
    stuck: usize,
    idle: usize,
    /// Calls in the order of their deadlines; answered ones are dropped in passing.
    deadlines: VecDeque<(Instant, Arc<Progress>)>,
    unanswered: usize,
    /// Whether the watchdog has to see to calls that wait for [`PATIENCE`].
    patient: bool,
    watchdog: Watchdog,
    /// Nobody submits calls any more: threads end when they find none.
    closed: bool,
}

struct Task {
    since: Instant,
    progress: Arc<Progress>,
    run: Run,
}

/// A call and what its thread is doing. The flags change while the state is locked.
struct Progress {
    call: Call,
    running: AtomicBool,
    stuck: AtomicBool,
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
            stuck_handlers: limits.stuck_handlers,
            waiting: limits.waiting_calls,
            state: Mutex::default(),
            work: Condvar::new(),
            watch: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Lets the threads end once the calls are done.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        self.shared.watch.notify_all();
    }

    /// Runs a call on a thread of the pool, or answers it with the reason why not.
    pub(crate) fn submit(&self, call: Call, run: Run) {
        let mut state = self.shared.lock();
        let waiting = state.queue.len();
        if waiting >= self.shared.waiting.max(1) {
            drop(state);
            let method = call.method().to_owned();
            call.fail(&CallFailure::Busy { method, waiting }, Waiting::Forbidden);
            return;
        }
        let (running, stuck) = (AtomicBool::new(false), AtomicBool::new(false));
        let progress = Arc::new(Progress { call, running, stuck });
        let since = Instant::now();
        state.queue.push_back(Task { since, progress: Arc::clone(&progress), run });
        self.watch(&mut state, progress);
        let at_work = state.threads.saturating_sub(state.idle + state.stuck);
        if at_work < EAGER {
            self.hand_out(&mut state);
        } else if !std::mem::replace(&mut state.patient, true) {
            self.wake_watchdog(&mut state);
        }
    }

    /// Sees to it that another task of the queue finds a thread, if one may be had.
    fn hand_out(&self, state: &mut State) {
        if state.idle > 0 {
            self.shared.work.notify_one();
        }
        let allowed = self.shared.handlers + state.stuck.min(self.shared.stuck_handlers);
        if state.idle >= state.queue.len() || state.threads >= allowed {
            return;
        }
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
            if let Some(Task { progress, run, .. }) = state.queue.pop_front() {
                if progress.call.is_answered() {
                    continue;
                }
                progress.running.store(true, Ordering::Relaxed);
                drop(state);
                let answered = run_call(&progress.call, run);
                state = self.shared.lock();
                progress.running.store(false, Ordering::Relaxed);
                state.unanswered = state.unanswered.saturating_sub(usize::from(answered));
                let stuck = progress.stuck.load(Ordering::Relaxed);
                state.stuck = state.stuck.saturating_sub(usize::from(stuck));
                continue;
            }
            if state.closed {
                state.threads -= 1;
                return;
            }
            state.idle += 1;
            let waited = self.shared.work.wait_timeout(state, IDLE);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            let spare = timeout.timed_out() || state.threads > self.shared.handlers + state.stuck;
            if spare && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn watch(&self, state: &mut State, progress: Arc<Progress>) {
        let Some(deadline) = Instant::now().checked_add(self.shared.deadline) else {
            return;
        };
        state.unanswered += 1;
        state.deadlines.push_back((deadline, progress));
        if state.deadlines.len() > 2 * state.unanswered + 64 {
            state.deadlines.retain(|(_, progress)| !progress.call.is_answered());
        }
        if state.watchdog != Watchdog::Armed {
            self.wake_watchdog(state);
        }
    }

    fn wake_watchdog(&self, state: &mut State) {
        if state.watchdog != Watchdog::NotStarted {
            state.watchdog = Watchdog::Armed;
            self.shared.watch.notify_one();
            return;
        }
        let pool = self.clone();
        let thread = thread::Builder::new().name("plugin-watchdog".to_owned());
        match thread.spawn(move || pool.keep_watch()) {
            Ok(_detached) => state.watchdog = Watchdog::Armed,
            Err(error) => tracing::warn!("cannot start the watchdog: {error}"),
        }
    }

    fn keep_watch(&self) {
        let mut state = self.shared.lock();
        loop {
            while state.deadlines.front().is_some_and(|(_, progress)| progress.call.is_answered()) {
                state.deadlines.pop_front();
            }
            let deadline = state.deadlines.front().map(|(deadline, _)| *deadline);
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left != Some(Duration::ZERO) {
                let idle = left.is_none() && !state.patient;
                if idle && state.closed {
                    return;
                }
                let wait = if state.patient { PATIENCE } else { IDLE };
                state.watchdog = if idle { Watchdog::Idle } else { Watchdog::Armed };
                let wait = left.map_or(wait, |left| left.min(wait));
                let waited = self.shared.watch.wait_timeout(state, wait);
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = guard;
                if idle && timeout.timed_out() && state.deadlines.is_empty() && !state.patient {
                    state.watchdog = Watchdog::NotStarted;
                    return;
                }
                self.see_to_the_patient(&mut state);
                continue;
            }
            let Some((_, progress)) = state.deadlines.pop_front() else { continue };
            drop(state);
            let failed = self.give_up(&progress.call);
            state = self.shared.lock();
            state.unanswered = state.unanswered.saturating_sub(usize::from(failed));
            if failed && progress.running.load(Ordering::Relaxed) {
                progress.stuck.store(true, Ordering::Relaxed);
                state.stuck += 1;
                if !state.queue.is_empty() {
                    self.hand_out(&mut state);
                }
            }
        }
    }

    /// Hands out the first call of the queue if it has waited for long enough.
    fn see_to_the_patient(&self, state: &mut State) {
        match state.queue.front() {
            None => state.patient = false,
            Some(task) if state.patient && task.since.elapsed() >= PATIENCE => self.hand_out(state),
            Some(_) => {}
        }
    }

    fn give_up(&self, call: &Call) -> bool {
        let method = call.method().to_owned();
        let limit = self.shared.deadline;
        let failure = CallFailure::DeadlineExceeded { method, limit };
        let failed = call.fail(&failure, Waiting::Forbidden);
        if failed {
            tracing::error!("{failure}");
        }
        failed
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a handler; whether its answer is the one that its caller gets.
fn run_call(call: &Call, run: Run) -> bool {
    let started = Instant::now();
    let answered = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => call.answer(&outcome, Waiting::Allowed),
        Err(panic) => {
            let method = call.method().to_owned();
            let failure = CallFailure::Panicked { method, message: panic_message(panic) };
            call.fail(&failure, Waiting::Allowed)
        }
    };
    if !answered {
        let took = started.elapsed();
        tracing::warn!("{} returned after {took:.1?}, too late for its caller", call.method());
    }
    answered
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
