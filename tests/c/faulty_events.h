/* Operations of the event, the semaphore and the barrier, and fork(): faulty_scene.h. */

#ifndef FL_TESTS_FAULTY_EVENTS_H
#define FL_TESTS_FAULTY_EVENTS_H

#include "faulty_scene.h"

static inline void
queue_others(scene *self, const void *key)
{
    queue_all(self->others, OTHERS, key);
}

/* ---- the event ---- */

static inline void
set_event(scene *self)
{
    CHECK(fl_event_set(&self->event));
}

static inline int
run_await_event(scene *self)
{
    return (int)fl_event_wait(&self->event, FL_DEADLINE_NEVER, woken_by(self, set_event, true));
}

static inline int
run_await_event_in_time(scene *self)
{
    return (int)fl_event_wait(&self->event, soon_ns(), woken_by(self, NULL, true));
}

static inline void
check_event(scene *self, bool done)
{
    CHECK_EQUAL(fl_event_is_set(&self->event), done);
    check_nobody_waits(self);
}

static inline void
check_event_clear(scene *self, bool done)
{
    (void)done;
    check_event(self, false);
}

static inline void
set_up_awaited_event(scene *self)
{
    queue_others(self, &self->event);
    fl_store_relaxed_u32(&self->event.word, FL_EVENT_PARKED);
}

static inline int
run_set_event(scene *self)
{
    return fl_event_set(&self->event);
}

static inline int
run_open_event(scene *self)
{
    fl_event_open(&self->event, &self->cond);
    return 1;
}

static inline void
check_moved(scene *self, bool done)
{
    CHECK(done);
    check_queues(self, 0, 0, OTHERS, 0, 0, 0);
}

static inline void
clean_up_moved(scene *self)
{
    CHECK_EQUAL(fl_cond_notify(&self->cond, SIZE_MAX, self->lock), OTHERS);
    expect_unparked(&self->others[0]);
    expect_unparked(&self->others[1]);
}

/* ---- the semaphore ---- */

static inline void
release_permit(scene *self)
{
    CHECK(fl_sema_release(&self->sema, 1, FL_SEMA_MAX));
}

static inline int
run_acquire(scene *self)
{
    return (int)fl_lock_wait(&fl_sema_ops, &self->sema, FL_DEADLINE_NEVER, woken_by(self, release_permit, true));
}

static inline int
run_acquire_in_time(scene *self)
{
    return (int)fl_lock_wait(&fl_sema_ops, &self->sema, soon_ns(), woken_by(self, NULL, true));
}

static inline void
check_no_permit(scene *self, bool done)
{
    (void)done;
    CHECK_EQUAL(fl_sema_permits(&self->sema), 0);
    check_nobody_waits(self);
}

static inline void
set_up_awaited_permits(scene *self)
{
    for (int i = 0; i < OTHERS; i++) {
        CHECK_EQUAL(fl_waiter_init(&self->others[i], false), 0);
        self->others[i].since_ns = JUST_CAME;
        CHECK(fl_lock_enqueue(&fl_sema_ops, &self->sema, &self->others[i]));
    }
}

static inline int
run_release_permits(scene *self)
{
    return fl_sema_release(&self->sema, OTHERS, FL_SEMA_MAX);
}

static inline void
check_permits(scene *self, bool done)
{
    CHECK(done);
    CHECK_EQUAL(fl_sema_permits(&self->sema), OTHERS);
    check_nobody_waits(self);
}

static inline int
run_open_sema(scene *self)
{
    fl_sema_open(&self->sema, &self->cond);
    return fl_sema_is_opened(&self->sema);
}

/* ---- the barrier ---- */

/* One that has two parties in all. */
static inline void
set_up_pair(scene *self)
{
    fl_barrier_init(&self->barrier, 2);
}

static inline fl_barrier_result
arrive_at(scene *self, int64_t timeout_ns, fl_barrier_action action, fl_blocker *blocker)
{
    uint64_t index;
    return fl_barrier_wait(&self->barrier, timeout_ns, action, &index, blocker);
}

static inline void
arrive_last(scene *self)
{
    CHECK_EQUAL(arrive_at(self, FL_DEADLINE_NEVER, (fl_barrier_action){0}, NULL), FL_BARRIER_PASSED);
}

static inline int
run_arrive(scene *self)
{
    return (int)arrive_at(self, FL_DEADLINE_NEVER, (fl_barrier_action){0}, woken_by(self, arrive_last, true));
}

static inline int
run_arrive_in_time(scene *self)
{
    int result = (int)arrive_at(self, NS_PER_MS, (fl_barrier_action){0}, woken_by(self, NULL, true));
    return result;
}

static inline void
check_barrier_whole(scene *self, bool done)
{
    (void)done;
    CHECK(!fl_barrier_is_broken(&self->barrier));
    CHECK_EQUAL(fl_barrier_waiting(&self->barrier), 0);
    check_nobody_waits(self);
}

static inline void
check_barrier_broken(scene *self, bool done)
{
    CHECK_EQUAL(fl_barrier_is_broken(&self->barrier), done);
    CHECK_EQUAL(fl_barrier_waiting(&self->barrier), 0);
    check_nobody_waits(self);
}

/* All but one have arrived. */
static inline bool
arrive_as_another(void *ctx)
{
    fl_barrier *barrier = ctx;
    uint64_t word = fl_load_relaxed_u64(&barrier->word);
    fl_store_relaxed_u64(&barrier->word, word + 4); /* COUNT_ONE of core/barrier.c, as fl_barrier_waiting shows */
    return true;
}

static inline fl_leave
never_leaves(fl_waiter *waiter, bool timed_out)
{
    (void)waiter;
    (void)timed_out;
    return FL_LEAVES;
}

static inline void
set_up_awaited_barrier(scene *self)
{
    for (int i = 0; i < OTHERS; i++) {
        CHECK_EQUAL(fl_waiter_init(&self->others[i], true), 0);
        self->others[i].on_leave = never_leaves; /* no guest */
        CHECK(fl_lot_enqueue(&self->others[i], &self->barrier, arrive_as_another, &self->barrier));
    }
    CHECK_EQUAL(fl_barrier_waiting(&self->barrier), OTHERS);
}

static inline int
run_complete(scene *self)
{
    return (int)arrive_at(self, FL_DEADLINE_NEVER, (fl_barrier_action){0}, NULL);
}

static inline bool
count_action(void *ctx)
{
    scene *self = ctx;
    self->actions++;
    return true;
}

static inline int
run_complete_with_action(scene *self)
{
    fl_barrier_action action = {.run = count_action, .ctx = self};
    return (int)arrive_at(self, FL_DEADLINE_NEVER, action, woken_by(self, NULL, true));
}

/* Before it is done all the others are still there, and the action has not run. */
static inline void
check_completed(scene *self, bool done)
{
    CHECK(!fl_barrier_is_broken(&self->barrier));
    CHECK_EQUAL(fl_barrier_waiting(&self->barrier), done ? 0 : OTHERS);
    CHECK_EQUAL(self->actions, done && self->operation->run == run_complete_with_action);
    check_queues(self, 0, 0, 0, 0, 0, done ? 0 : OTHERS);
}

static inline void
clean_up_passed(scene *self)
{
    CHECK(self->others[0].handed_off && self->others[1].handed_off);
    expect_unparked(&self->others[0]);
    expect_unparked(&self->others[1]);
}

static inline int
run_abort(scene *self)
{
    return fl_barrier_abort(&self->barrier);
}

static inline int
run_reset(scene *self)
{
    return fl_barrier_reset(&self->barrier);
}

static inline int
run_open_barrier(scene *self)
{
    return fl_barrier_open(&self->barrier);
}

static inline void
clean_up_sent_away(scene *self)
{
    CHECK(!self->others[0].handed_off && !self->others[1].handed_off);
    expect_unparked(&self->others[0]);
    expect_unparked(&self->others[1]);
}

/* ---- fork() ---- */

/* The child ends as soon as it is there. Where a fault ends it, its parent ends in the same way. */
static inline int
run_fork(scene *self)
{
    (void)self;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(0);
    }
    int status;
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        (void)signal(WTERMSIG(status), SIG_DFL);
        (void)raise(WTERMSIG(status));
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline void
check_nothing(scene *self, bool done)
{
    CHECK(done);
    check_nobody_waits(self);
}

#endif
