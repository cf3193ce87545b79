/* core/event.h: each transition of the table, each way for a wait to end. */

#include "check.h"
#include "event_helpers.h"

/* ---- without waiters (E3) ---- */

static void
test_e3_set_clear_and_is_set(void)
{
    fl_event event;
    fl_event_init(&event);
    CHECK_EQUAL(word_of(&event), FL_EVENT_CLEAR);
    CHECK(!fl_event_is_set(&event));
    fl_event_clear(&event); /* clear: stays so */
    CHECK_EQUAL(word_of(&event), FL_EVENT_CLEAR);
    fl_event_set(&event);
    CHECK_EQUAL(word_of(&event), FL_EVENT_SET);
    CHECK(fl_event_is_set(&event));
    fl_event_set(&event); /* set: stays so */
    CHECK_EQUAL(word_of(&event), FL_EVENT_SET);
    fl_event_clear(&event);
    CHECK_EQUAL(word_of(&event), FL_EVENT_CLEAR);
    CHECK(!fl_event_is_set(&event));
}

/* The slow path, from each state: between the look and the mutex other threads may have been there. */
static void
test_e2_set_slow_from_every_state(void)
{
    const uint32_t words[] = {FL_EVENT_CLEAR, FL_EVENT_SET, FL_EVENT_PARKED};
    for (int i = 0; i < 3; i++) {
        fl_event event = {words[i]};
        fl_event_set_slow(&event);
        CHECK_EQUAL(word_of(&event), FL_EVENT_SET);
    }
}

static void
test_parked_with_nobody_queued(void)
{
    fl_event event = {FL_EVENT_PARKED};
    CHECK(!fl_event_is_set(&event));
    fl_event_clear(&event); /* it is clear: nothing changes, and the word stays PARKED */
    CHECK_EQUAL(word_of(&event), FL_EVENT_PARKED);
    fl_event_set(&event);
    CHECK(fl_event_is_set(&event));
    fl_event_clear(&event);
    CHECK_EQUAL(word_of(&event), FL_EVENT_CLEAR);
}

static bool
never_polled(void *ctx, int polls)
{
    (void)ctx;
    (void)polls;
    check_failed(__FILE__, __LINE__, "poll()");
}

static void
test_wait_for_a_set_event_does_not_poll(void)
{
    const int64_t deadlines[] = {FL_DEADLINE_NEVER, FL_DEADLINE_PASSED, 1};
    fl_event event = {FL_EVENT_SET};
    for (int i = 0; i < 3; i++) {
        fake_blocker blocker = make_fake_blocker(true, never_polled, NULL);
        CHECK_EQUAL(fl_event_wait(&event, deadlines[i], &blocker.base), FL_EVENT_WAS_SET);
        CHECK_EQUAL(word_of(&event), FL_EVENT_SET);
    }
}

static void
test_wait_without_time_does_not_queue(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    fake_blocker blocker = make_fake_blocker(true, never_polled, NULL);
    CHECK_EQUAL(fl_event_wait(&event, FL_DEADLINE_PASSED, &blocker.base), FL_EVENT_TIMED_OUT);
    CHECK_EQUAL(word_of(&event), FL_EVENT_CLEAR);
}

/* ---- timeouts ---- */

static void
test_timeout(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    for (int i = 0; i < 2; i++) {
        int64_t deadline_ns = fl_deadline_after_ns(2 * NS_PER_MS);
        CHECK_EQUAL(fl_event_wait(&event, deadline_ns, NULL), FL_EVENT_TIMED_OUT);
        CHECK(fl_clock_now_ns() >= deadline_ns);
        check_nobody(&event);
        CHECK_EQUAL(word_of(&event), FL_EVENT_PARKED); /* legal, and repaired by the next set() */
    }
    fl_event_set(&event);
    CHECK_EQUAL(fl_event_wait(&event, FL_DEADLINE_NEVER, NULL), FL_EVENT_WAS_SET);
    fl_event_clear(&event);
    CHECK_EQUAL(word_of(&event), FL_EVENT_CLEAR);
    CHECK_EQUAL(fl_event_wait(&event, fl_deadline_after_ns(1), NULL), FL_EVENT_TIMED_OUT);
}

static fl_event *set_by_attach;

static void
attach_and_set(fl_blocker *self)
{
    fl_event_set(set_by_attach);
    fake_attach(self);
}

/* It is set after the waiter has left the queue, and before it returns. */
static void
test_timeout_looks_once_more(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    blocker.base.attach = attach_and_set;
    set_by_attach = &event;
    CHECK_EQUAL(fl_event_wait(&event, fl_deadline_after_ns(1), &blocker.base), FL_EVENT_WAS_SET);
}

/* One that times out leaves the others queued. */
static void
test_timeout_among_others(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    event_waiter w[4];
    start_waiters(w, 2, &event);
    wait_until_parked(&event, 2);
    CHECK_EQUAL(fl_event_wait(&event, fl_deadline_after_ns(NS_PER_MS), NULL), FL_EVENT_TIMED_OUT);
    start_waiters(&w[2], 2, &event);
    wait_until_parked(&event, 4);
    fl_event_set(&event);
    join_waiters(w, 4, FL_EVENT_WAS_SET);
}

/* ---- waking ---- */

static void
test_e1_waiters_mark_the_word(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    event_waiter w[3];
    start_waiters(w, 1, &event);
    wait_until_parked(&event, 1);
    CHECK_EQUAL(word_of(&event), FL_EVENT_PARKED);
    CHECK(!fl_event_is_set(&event));
    start_waiters(&w[1], 2, &event);
    wait_until_parked(&event, 3);
    CHECK_EQUAL(word_of(&event), FL_EVENT_PARKED);
    fl_event_clear(&event); /* no way to lose them */
    CHECK_EQUAL(word_of(&event), FL_EVENT_PARKED);
    fl_event_set(&event);
    CHECK_EQUAL(word_of(&event), FL_EVENT_SET);
    check_nobody(&event);
    join_waiters(w, 3, FL_EVENT_WAS_SET);
}

static void
test_t31_e2_pulse_wakes_a_hundred(void)
{
    enum { COUNT = 100 };
    fl_event event = {FL_EVENT_CLEAR};
    for (int round = 0; round < 3; round++) {
        event_waiter w[COUNT];
        start_waiters(w, COUNT, &event);
        wait_until_parked(&event, COUNT);
        fl_event_set(&event);
        fl_event_clear(&event);
        CHECK_EQUAL(word_of(&event), FL_EVENT_CLEAR);
        check_nobody(&event);
        join_waiters(w, COUNT, FL_EVENT_WAS_SET);
    }
}

/* A pulse is over when it is over: who comes later waits for the next one. */
static void
test_e2_pulse_does_not_wake_later_waiters(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    event_waiter early;
    event_waiter late = {.event = &event, .timeout_ns = 2 * NS_PER_MS};
    start_waiters(&early, 1, &event);
    wait_until_parked(&event, 1);
    fl_event_set(&event);
    fl_event_clear(&event);
    (void)wait_for_event(&late);
    CHECK_EQUAL(late.result, FL_EVENT_TIMED_OUT);
    join_waiters(&early, 1, FL_EVENT_WAS_SET);
}

/* ---- the blocker ---- */

static bool
refuse_to_wait(void *ctx, int polls)
{
    (void)ctx;
    CHECK_EQUAL(polls, 1);
    return false;
}

static void
test_given_up_before_the_wait(void)
{
    for (int interruptible = 0; interruptible < 2; interruptible++) {
        fl_event event = {FL_EVENT_CLEAR};
        fake_blocker blocker = make_fake_blocker(interruptible, refuse_to_wait, NULL);
        CHECK_EQUAL(fl_event_wait(&event, FL_DEADLINE_NEVER, &blocker.base), FL_EVENT_GIVEN_UP);
        CHECK_EQUAL(blocker.polls, 1);
        CHECK_EQUAL(blocker.detaches, 0);
        CHECK_EQUAL(word_of(&event), FL_EVENT_CLEAR);
    }
}

static bool
set_it(void *ctx, int polls)
{
    (void)polls;
    fl_event_set(ctx);
    return true;
}

/* A handler that runs before the sleep sets the event: the look under the mutex finds it. */
static void
test_e1_set_between_the_look_and_the_queue(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    fake_blocker blocker = make_fake_blocker(false, set_it, &event);
    CHECK_EQUAL(fl_event_wait(&event, FL_DEADLINE_NEVER, &blocker.base), FL_EVENT_WAS_SET);
    CHECK_EQUAL(blocker.detaches, 0);
    check_nobody(&event);
}

/* A wait whose poll() runs in the queue, as long as the test wants. */
typedef struct {
    fl_event event;
    bool goes_on;
    flag polling, decided, polled;
    void (*handler)(fl_event *event); /* or NULL: runs in poll() */
} polling_scene;

static bool
poll_in_queue(void *ctx, int polls)
{
    polling_scene *self = ctx;
    if (polls == 1) {
        return true; /* not queued yet */
    }
    raise_flag(&self->polling, 1);
    await_flag(&self->decided, 1);
    if (self->handler) {
        self->handler(&self->event);
    }
    raise_flag(&self->polled, 1);
    return self->goes_on;
}

static void
start_polling_wait(polling_scene *self, event_waiter *waiter, fake_blocker *blocker)
{
    *blocker = make_fake_blocker(true, poll_in_queue, self);
    *waiter = (event_waiter){.event = &self->event, .blocker = blocker};
    waiter->thread = start_thread(wait_for_event, waiter);
    interrupt_until(waiter->thread, &self->polling, 1);
    CHECK_EQUAL(fl_lot_count(&self->event), 1);
    CHECK_EQUAL(word_of(&self->event), FL_EVENT_PARKED);
}

static void
test_e4_pulse_while_a_handler_runs(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        polling_scene self = {.event = {FL_EVENT_CLEAR}, .goes_on = goes_on};
        event_waiter waiter;
        fake_blocker blocker;
        start_polling_wait(&self, &waiter, &blocker);
        fl_event_set(&self.event);
        fl_event_clear(&self.event);
        raise_flag(&self.decided, 1);
        join_waiters(&waiter, 1, goes_on ? FL_EVENT_WAS_SET : FL_EVENT_GIVEN_UP);
        CHECK_EQUAL(blocker.polls, 2);
        check_nobody(&self.event);
    }
}

static void
test_e4_wait_goes_on_after_a_handler(void)
{
    polling_scene self = {.event = {FL_EVENT_CLEAR}, .goes_on = true};
    event_waiter waiter;
    fake_blocker blocker;
    start_polling_wait(&self, &waiter, &blocker);
    raise_flag(&self.decided, 1);
    await_flag(&self.polled, 1);
    CHECK_EQUAL(fl_lot_count(&self.event), 1); /* it has not left its place */
    fl_event_set(&self.event);
    join_waiters(&waiter, 1, FL_EVENT_WAS_SET);
}

static void
test_given_up_in_the_queue(void)
{
    polling_scene self = {.event = {FL_EVENT_CLEAR}, .goes_on = false};
    event_waiter waiter;
    fake_blocker blocker;
    start_polling_wait(&self, &waiter, &blocker);
    raise_flag(&self.decided, 1);
    join_waiters(&waiter, 1, FL_EVENT_GIVEN_UP);
    check_nobody(&self.event);
    CHECK_EQUAL(word_of(&self.event), FL_EVENT_PARKED);
}

/* The handler of the waiting thread uses the event itself. */
static void
pulse(fl_event *event)
{
    fl_event_set(event);
    fl_event_clear(event);
    CHECK(!fl_event_is_set(event));
}

static void
wait_inside(fl_event *event)
{
    CHECK_EQUAL(fl_event_wait(event, fl_deadline_after_ns(NS_PER_MS), NULL), FL_EVENT_TIMED_OUT);
    CHECK_EQUAL(fl_lot_count(event), 1); /* the outer wait */
    fl_event_set(event);
    CHECK_EQUAL(fl_event_wait(event, FL_DEADLINE_NEVER, NULL), FL_EVENT_WAS_SET);
}

static void
test_t31_handler_uses_the_event_that_it_interrupts(void)
{
    void (*const handlers[])(fl_event *) = {pulse, wait_inside};
    for (int i = 0; i < 2; i++) {
        polling_scene self = {.event = {FL_EVENT_CLEAR}, .goes_on = true, .handler = handlers[i]};
        event_waiter waiter;
        fake_blocker blocker;
        start_polling_wait(&self, &waiter, &blocker);
        raise_flag(&self.decided, 1);
        join_waiters(&waiter, 1, FL_EVENT_WAS_SET);
        check_nobody(&self.event);
    }
}

/* The deadline of a wait that handlers interrupt does not move.  The slices of its own sleep interrupt it; on a busy
 * machine few of them end within a short timeout, so it is tried with longer ones until several have. */
static void
test_t15_deadline_of_an_interrupted_wait(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    fake_blocker blocker;
    int64_t timeout_ns = 20 * NS_PER_MS;
    do {
        blocker = make_fake_blocker(true, NULL, NULL);
        event_waiter waiter = {.event = &event, .blocker = &blocker, .timeout_ns = timeout_ns};
        int64_t start_ns = fl_clock_now_ns();
        (void)wait_for_event(&waiter);
        CHECK_EQUAL(waiter.result, FL_EVENT_TIMED_OUT);
        CHECK(fl_clock_now_ns() - start_ns >= timeout_ns);
        CHECK_EQUAL(blocker.detaches, blocker.polls);
        timeout_ns *= 2;
    } while (blocker.polls <= 2);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_e3_set_clear_and_is_set);
    RUN(test_e2_set_slow_from_every_state);
    RUN(test_parked_with_nobody_queued);
    RUN(test_wait_for_a_set_event_does_not_poll);
    RUN(test_wait_without_time_does_not_queue);
    RUN(test_timeout);
    RUN(test_timeout_looks_once_more);
    RUN(test_timeout_among_others);
    RUN(test_e1_waiters_mark_the_word);
    RUN(test_t31_e2_pulse_wakes_a_hundred);
    RUN(test_e2_pulse_does_not_wake_later_waiters);
    RUN(test_given_up_before_the_wait);
    RUN(test_e1_set_between_the_look_and_the_queue);
    RUN(test_e4_pulse_while_a_handler_runs);
    RUN(test_e4_wait_goes_on_after_a_handler);
    RUN(test_given_up_in_the_queue);
    RUN(test_t31_handler_uses_the_event_that_it_interrupts);
    RUN(test_t15_deadline_of_an_interrupted_wait);
    return 0;
}
