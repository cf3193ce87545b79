/* core/fork.h: waiters that tell when they leave, events and semaphores, when the process forks. */

#include "check.h"
#include "core/sema.h"
#include "core/thread.h"
#include "event_helpers.h"
#include "fork_helpers.h"
#include "lot_helpers.h"

/* ---- on_leave ---- */

typedef struct {
    fl_waiter mine[2];
    fl_waiter foreign[3];
    flag queued, stop;
} mixture;

static int leaves; /* in the child: no other thread */
static fl_waiter *left[3];

static fl_leave
record_leave(fl_waiter *waiter, bool timed_out)
{
    CHECK(!timed_out);
    CHECK(waiter->thread != fl_thread_self());
    CHECK(leaves < 3);
    left[leaves++] = waiter;
    return FL_STAYS; /* which means nothing here */
}

static void
queue_recorded(fl_waiter *waiter)
{
    CHECK_EQUAL(fl_waiter_init(waiter, true), 0);
    waiter->on_leave = record_leave;
    CHECK(fl_lot_enqueue(waiter, keys, agree, NULL));
}

static void *
queue_foreign(void *arg)
{
    mixture *self = arg;
    for (int i = 0; i < 3; i++) {
        queue_recorded(&self->foreign[i]);
    }
    self->foreign[1].on_leave = NULL;
    raise_flag(&self->queued, 1);
    await_flag(&self->stop, 1);
    return NULL;
}

static void
check_leaves(void *arg)
{
    mixture *self = arg;
    CHECK_EQUAL(leaves, 2); /* of threads that are not here, in their order */
    CHECK(left[0] == &self->foreign[0]);
    CHECK(left[1] == &self->foreign[2]);
    CHECK_ORDER(keys, &self->mine[0], &self->mine[1]);
    CHECK_EQUAL(unpark_all(keys), 2);
    use_every_bucket();
}

static void
test_t34_waiters_that_are_not_in_the_child_leave(void)
{
    mixture self = {.queued = 0};
    queue_recorded(&self.mine[0]);
    pthread_t thread = start_thread(queue_foreign, &self);
    await_flag(&self.queued, 1);
    queue_recorded(&self.mine[1]);
    in_child(check_leaves, &self);
    CHECK_EQUAL(leaves, 0); /* they are in the parent */
    CHECK_EQUAL(unpark_all(keys), 5);
    raise_flag(&self.stop, 1);
    join_thread(thread);
}

/* ---- events ---- */

static void
set_event(void *arg)
{
    fl_event_set(arg);
}

static void
check_event(void *arg)
{
    fl_event *event = arg;
    check_nobody(event);
    CHECK_EQUAL(word_of(event), FL_EVENT_PARKED); /* which is legal */
    CHECK(!fl_event_is_set(event));
    fl_event_set(event);
    CHECK(fl_event_is_set(event));
    fl_event_clear(event);
    nested_blocker nested = make_nested_blocker(set_event, event);
    CHECK_EQUAL(fl_event_wait(event, FL_DEADLINE_NEVER, &nested.blocker.base), FL_EVENT_WAS_SET);
}

static void
test_t31_t34_event_whose_waiters_are_not_in_the_child(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    event_waiter w[2];
    start_waiters(w, 2, &event);
    wait_until_parked(&event, 2);
    in_child(check_event, &event);
    CHECK_EQUAL(word_of(&event), FL_EVENT_PARKED);
    fl_event_set(&event);
    join_waiters(w, 2, FL_EVENT_WAS_SET);
}

typedef struct {
    fl_event event;
    forker forker;
    fl_event_result result;
} event_scene;

static void *
wait_and_fork(void *arg)
{
    event_scene *self = arg;
    fake_blocker blocker = make_fake_blocker(true, fork_in_poll, &self->forker);
    event_waiter me = {.event = &self->event, .blocker = &blocker};
    self->forker.scene = self;
    self->forker.parent = getpid();
    (void)wait_for_event(&me);
    end_child(&self->forker, (int)me.result);
    self->result = me.result;
    return NULL;
}

static void
pulse_in_child(void *arg)
{
    event_scene *self = arg;
    CHECK_EQUAL(fl_lot_count(&self->event), 1); /* the others are not here */
    fl_event_set(&self->event);
    fl_event_clear(&self->event);
}

static void
test_t31_t34_e4_fork_in_the_poll_of_an_event(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        event_scene self = {.event = {FL_EVENT_CLEAR}, .forker = {.in_child = pulse_in_child, .goes_on = goes_on}};
        self.forker.end = goes_on ? FL_EVENT_WAS_SET : FL_EVENT_GIVEN_UP;
        event_waiter w[2];
        start_waiters(w, 2, &self.event);
        pthread_t thread = start_thread(wait_and_fork, &self);
        interrupt_until(thread, &self.forker.forked, 1);
        wait_until_parked(&self.event, 3); /* the child's pulse is the child's */
        fl_event_set(&self.event);
        join_thread(thread);
        CHECK_EQUAL(self.result, FL_EVENT_WAS_SET);
        join_waiters(w, 2, FL_EVENT_WAS_SET);
    }
}

/* ---- semaphores ---- */

static void
check_semaphore(void *arg)
{
    fl_sema *sema = arg;
    check_nobody(sema);
    CHECK_EQUAL(fl_sema_permits(sema), 0);
    CHECK(fl_sema_release(sema, 2, 2)); /* for nobody: they stay */
    CHECK_EQUAL(fl_load_relaxed_u64(&sema->word), 2 * FL_SEMA_ONE);
    CHECK(fl_sema_try_acquire(sema));
    CHECK(fl_sema_try_acquire(sema));
    CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, sema, fl_deadline_after_ns(1), NULL), FL_LOCK_TIMED_OUT);
}

static void *
acquire_one(void *arg)
{
    CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, arg, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    return NULL;
}

static void
test_t32_t34_semaphore_whose_waiters_are_not_in_the_child(void)
{
    fl_sema sema;
    pthread_t threads[2];
    fl_sema_init(&sema, 0);
    for (int i = 0; i < 2; i++) {
        threads[i] = start_thread(acquire_one, &sema);
    }
    wait_until_parked(&sema, 2);
    in_child(check_semaphore, &sema);
    CHECK(fl_sema_release(&sema, 2, 2));
    for (int i = 0; i < 2; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(fl_sema_permits(&sema), 0);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t34_waiters_that_are_not_in_the_child_leave);
    RUN(test_t31_t34_event_whose_waiters_are_not_in_the_child);
    RUN(test_t31_t34_e4_fork_in_the_poll_of_an_event);
    RUN(test_t32_t34_semaphore_whose_waiters_are_not_in_the_child);
    return 0;
}
