//! The threads that read connections and run handlers, and the watchdog over them.
//!
//! A thread that has read a call runs it itself: to wake another one takes longer than most calls
//! do. Meanwhile it leaves its connection where the watchdog finds it:
//!
//! ```text
//!   read a call ──► leave the connection ──► run the call ──► take the connection back ──► read …
//!                            │                                     │
//!                            │ not taken back within PATIENCE      │ it is not there any more
//!                            ▼                                     ▼
//!                   another thread reads on               be a thread for calls
//! ```
//!
//! So a call that takes long holds up pings and other calls for [`PATIENCE`], twice that at most.
//! While calls are that slow, each gets a thread at once, and the connection is never left.
//!
//! Threads are started when there is work and none is idle, and end after a while without work. A
//! handler that does not return keeps its thread; its caller gets an error at the deadline, and
//! the handler no longer counts.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
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

/// How long a connection or a call may wait for a thread that runs other calls.
const PATIENCE: Duration = Duration::from_millis(2);

/// How often the watchdog looks again after the last call before it sleeps. To wake it takes
/// longer than most calls do.
const LOOKS: u32 = 50;

pub(crate) type Run = Box<dyn FnOnce() -> Outcome + Send>;

/// A connection, which submits the calls that it reads.
pub(crate) trait Source: Send {
    /// Waits for what comes next, and submits the calls in it. False when the connection has ended.
    fn read(&mut self) -> bool;
}

/// Reads all connections and runs their handlers.
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
    /// Connections that wait for a thread.
    unread: VecDeque<Box<dyn Source>>,
    /// Connections whose threads run calls and are expected back.
    left: Vec<Left>,
    last_leave: u64,
    /// Calls that wait for a thread.
    queue: VecDeque<Task>,
    /// Handlers that run, and those of them that are past their deadline.
    running: usize,
    stuck: usize,
    /// Threads that wait for work, and threads that were started for it and are not there yet.
    idle: usize,
    starting: usize,
    /// Whether a thread for each call is worth it, going by the last calls.
    slow: bool,
    /// Calls in the order of their deadlines; answered ones are dropped in passing.
    deadlines: VecDeque<(Instant, Arc<Progress>)>,
    unanswered: usize,
    watchdog: Watchdog,
    /// Nobody submits calls any more: threads end when they find none.
    closed: bool,
}

struct Left {
    id: u64,
    since: Instant,
    source: Box<dyn Source>,
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
    /// Wakes in time for every deadline there is; later calls have later deadlines.
    Asleep,
    /// Wakes in time for whoever waits for [`PATIENCE`], too. It sleeps after so many more looks.
    Awake { looks: u32 },
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

    /// Lets the threads end once the connections have ended and the calls are done.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        self.shared.watch.notify_all();
    }

    /// Reads a connection until it ends, on threads of the pool.
    pub(crate) fn serve(&self, source: Box<dyn Source>) -> io::Result<()> {
        // Started with its connection, so that the connection is dropped if it cannot be.
        self.spawn(Some(source))
    }

    /// Reads a connection and runs what it submits, until it has ended or another thread reads it.
    pub(crate) fn lead(&self, mut source: Box<dyn Source>) {
        while source.read() {
            let mut state = self.shared.lock();
            if state.queue.is_empty() || state.is_eager() {
                continue;
            }
            let since = Instant::now();
            let id = state.leave(source, since);
            while let Some(task) = self.shared.next(&mut state) {
                state = self.run(state, task);
                if since.elapsed() >= PATIENCE {
                    self.hand_out(&mut state);
                    break;
                }
            }
            match state.come_back(id) {
                Some(own) => source = own,
                None => return,
            }
        }
    }

    /// Takes a call that a connection has read, or answers it with the reason why not.
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
        if let Some(deadline) = since.checked_add(self.shared.deadline) {
            state.watch(deadline, progress);
        }
        self.wake_watchdog(&mut state);
        if state.is_eager() {
            self.hand_out(&mut state);
        }
    }

    /// Sees to it that what waits finds one more thread, if one may be had.
    fn hand_out(&self, state: &mut State) {
        let wanted = state.unread.len() + state.queue.len().min(self.shared.free(state));
        if wanted == 0 {
            return;
        }
        if state.idle > 0 {
            self.shared.work.notify_one();
        }
        if state.idle + state.starting >= wanted {
            return;
        }
        match self.spawn(None) {
            Ok(()) => state.starting += 1,
            // Another thread takes it, or the watchdog tries again.
            Err(error) => tracing::warn!("cannot start a thread for a call: {error}"),
        }
    }

    fn spawn(&self, source: Option<Box<dyn Source>>) -> io::Result<()> {
        let pool = self.clone();
        let thread = thread::Builder::new().name("plugin".to_owned());
        thread.spawn(move || pool.work(source)).map(|_detached| ())
    }

    fn work(&self, mut source: Option<Box<dyn Source>>) {
        if source.is_none() {
            self.shared.lock().starting -= 1;
        }
        loop {
            if let Some(source) = source.take() {
                self.lead(source);
            }
            let mut state = self.shared.lock();
            source = state.unread.pop_front();
            if source.is_some() {
                continue;
            }
            if let Some(task) = self.shared.next(&mut state) {
                drop(self.run(state, task));
            } else if !self.wait(state) {
                return;
            }
        }
    }

    /// Waits for work; false when the thread is to end.
    fn wait(&self, mut state: MutexGuard<'_, State>) -> bool {
        if state.closed || state.idle >= self.shared.handlers {
            return false;
        }
        state.idle += 1;
        let waited = self.shared.work.wait_timeout(state, IDLE);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        !timeout.timed_out() || !state.unread.is_empty() || !state.queue.is_empty()
    }

    fn run<'a>(&'a self, state: MutexGuard<'a, State>, task: Task) -> MutexGuard<'a, State> {
        let Task { progress, run, .. } = task;
        drop(state);
        let (answered, took) = run_call(&progress.call, run);
        let mut state = self.shared.lock();
        progress.running.store(false, Ordering::Relaxed);
        state.running = state.running.saturating_sub(1);
        state.unanswered = state.unanswered.saturating_sub(usize::from(answered));
        let stuck = progress.stuck.load(Ordering::Relaxed);
        state.stuck = state.stuck.saturating_sub(usize::from(stuck));
        state.slow = took >= PATIENCE;
        state
    }

    fn wake_watchdog(&self, state: &mut State) {
        let awake = Watchdog::Awake { looks: LOOKS };
        match std::mem::replace(&mut state.watchdog, awake) {
            Watchdog::Awake { .. } => {}
            Watchdog::Asleep => self.shared.watch.notify_one(),
            Watchdog::NotStarted => {
                let pool = self.clone();
                let thread = thread::Builder::new().name("plugin-watchdog".to_owned());
                if let Err(error) = thread.spawn(move || pool.keep_watch()) {
                    state.watchdog = Watchdog::NotStarted;
                    tracing::warn!("cannot start the watchdog: {error}");
                }
            }
        }
    }

    fn keep_watch(&self) {
        let mut state = self.shared.lock();
        loop {
            let now = Instant::now();
            if let Some(progress) = state.overdue(now) {
                state = self.give_up(state, &progress);
                continue;
            }
            self.see_to_the_patient(&mut state, now);
            let wait = state.next_look(now);
            if wait.is_none() && state.closed {
                state.watchdog = Watchdog::NotStarted;
                return;
            }
            let waited = self.shared.watch.wait_timeout(state, wait.unwrap_or(IDLE));
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if wait.is_none() && timeout.timed_out() && state.watchdog == Watchdog::Asleep {
                state.watchdog = Watchdog::NotStarted;
                return;
            }
        }
    }

    /// Finds threads for connections and calls that have waited for long enough.
    fn see_to_the_patient(&self, state: &mut State, now: Instant) {
        let waited = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
        while let Some(index) = state.left.iter().position(|left| waited(left.since)) {
            let left = state.left.swap_remove(index);
            state.unread.push_back(left.source);
            state.slow = true;
        }
        let call_waits = state.queue.front().is_some_and(|task| waited(task.since));
        let threads = state.unread.len() + usize::from(call_waits);
        for _ in 0..threads {
            self.hand_out(state);
        }
    }

    /// Answers a call whose deadline has passed.
    fn give_up<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        progress: &Progress,
    ) -> MutexGuard<'a, State> {
        drop(state);
        let method = progress.call.method().to_owned();
        let failure = CallFailure::DeadlineExceeded { method, limit: self.shared.deadline };
        let failed = progress.call.fail(&failure, Waiting::Forbidden);
        if failed {
            tracing::error!("{failure}");
        }
        let mut state = self.shared.lock();
        state.unanswered = state.unanswered.saturating_sub(usize::from(failed));
        if failed && progress.running.load(Ordering::Relaxed) {
            progress.stuck.store(true, Ordering::Relaxed);
            state.stuck += 1;
            self.hand_out(&mut state);
        }
        state
    }
}

impl Shared {
    /// How many more handlers may run.
    fn free(&self, state: &State) -> usize {
        let allowed = self.handlers + state.stuck.min(self.stuck_handlers);
        allowed.saturating_sub(state.running)
    }

    /// The next call, if another handler may run.
    fn next(&self, state: &mut State) -> Option<Task> {
        while self.free(state) > 0 {
            let task = state.queue.pop_front()?;
            if !task.progress.call.is_answered() {
                task.progress.running.store(true, Ordering::Relaxed);
                state.running += 1;
                return Some(task);
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether calls get threads of their own at once. Without a watchdog they must.
    fn is_eager(&self) -> bool {
        self.slow || self.watchdog == Watchdog::NotStarted
    }

    /// Leaves a connection where the watchdog finds it, while its thread runs calls.
    fn leave(&mut self, source: Box<dyn Source>, since: Instant) -> u64 {
        self.last_leave += 1;
        let id = self.last_leave;
        self.left.push(Left { id, since, source });
        id
    }

    /// Takes the connection back, unless another thread reads it.
    fn come_back(&mut self, id: u64) -> Option<Box<dyn Source>> {
        let index = self.left.iter().position(|left| left.id == id)?;
        Some(self.left.swap_remove(index).source)
    }

    fn watch(&mut self, deadline: Instant, progress: Arc<Progress>) {
        self.unanswered += 1;
        self.deadlines.push_back((deadline, progress));
        if self.deadlines.len() > 2 * self.unanswered + 64 {
            self.deadlines.retain(|(_, progress)| !progress.call.is_answered());
        }
    }

    /// A call whose deadline has passed, if there is one.
    fn overdue(&mut self, now: Instant) -> Option<Arc<Progress>> {
        while self.deadlines.front().is_some_and(|(_, progress)| progress.call.is_answered()) {
            self.deadlines.pop_front();
        }
        let overdue = self.deadlines.front().is_some_and(|(deadline, _)| *deadline <= now);
        if overdue { self.deadlines.pop_front().map(|(_, progress)| progress) } else { None }
    }

    /// How long the watchdog may wait; none when there is nothing to wait for.
    fn next_look(&mut self, now: Instant) -> Option<Duration> {
        let waiting = !self.left.is_empty() || !self.unread.is_empty() || !self.queue.is_empty();
        match &mut self.watchdog {
            Watchdog::Awake { looks } if waiting || (*looks > 0 && !self.closed) => {
                *looks = looks.saturating_sub(1);
                Some(PATIENCE)
            }
            watchdog => {
                *watchdog = Watchdog::Asleep;
                let (deadline, _) = self.deadlines.front()?;
                Some(deadline.saturating_duration_since(now))
            }
        }
    }
}

/// Runs a handler; whether its answer is the one that its caller gets, and how long it took.
fn run_call(call: &Call, run: Run) -> (bool, Duration) {
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(run));
    let took = started.elapsed();
    let answered = match result {
        Ok(outcome) => call.answer(&outcome, Waiting::Allowed),
        Err(panic) => {
            let method = call.method().to_owned();
            let failure = CallFailure::Panicked { method, message: panic_message(panic) };
            call.fail(&failure, Waiting::Allowed)
        }
    };
    if !answered {
        tracing::warn!("{} returned after {took:.1?}, too late for its caller", call.method());
    }
    (answered, took)
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
