/* core/barrier.h: arriving, passing, breaking, resetting; no actions (test_barrier_action.c). */

#include "check.h"
#include "barrier_helpers.h"

static const fl_barrier_action no_action = {.run = NULL};

/* ---- passing ---- */

static void
test_barrier_of_one(void)
{
    fl_barrier barrier;
    fl_barrier_init(&barrier, 1);
    for (int i = 0; i < 3; i++) {
        uint64_t index = UINT64_MAX;
        CHECK(!would_wait(&barrier));
        CHECK_EQUAL(fl_barrier_wait(&barrier, 0, no_action, &index, NULL), FL_BARRIER_PASSED);
        CHECK_EQUAL(index, 0);
        check_empty(&barrier, false);
    }
    fl_barrier_abort(&barrier);
    uint64_t index;
    CHECK_EQUAL(arrive_here(&barrier, &index), FL_BARRIER_BROKEN);
}

static void
test_b1_arrivals_are_counted(void)
{
    fl_barrier barrier;
    party p[3];
    fl_barrier_init(&barrier, 4);
    check_empty(&barrier, false);
    for (size_t i = 0; i < 3; i++) {
        CHECK(would_wait(&barrier));
        CHECK_EQUAL(fl_barrier_waiting(&barrier), i);
        start_parties(&p[i], 1, &barrier);
    }
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 3);
    CHECK(!fl_barrier_is_broken(&barrier));
    complete(&barrier);
    check_empty(&barrier, false);
    CHECK(would_wait(&barrier));
    join_parties(p, 3, FL_BARRIER_PASSED);
}

/* B3 */
static void
test_t33_b3_indices_are_dealt_in_the_order_of_arrival(void)
{
    enum { OTHERS = 5 };
    fl_barrier barrier;
    fl_barrier_init(&barrier, OTHERS + 1);
    for (int round = 0; round < 3; round++) {
        party p[OTHERS];
        start_parties(p, OTHERS, &barrier);
        complete(&barrier);
        join_parties(p, OTHERS, FL_BARRIER_PASSED);
        for (size_t i = 0; i < OTHERS; i++) {
            CHECK_EQUAL(p[i].index, i);
        }
    }
}

/* The next generation fills while those who were sent away have not run yet: theirs is a wait of its own. */
static void
test_t33_b2_nobody_drains(void)
{
    fl_barrier barrier;
    party early[2];
    party late[2];
    handler stuck = {.goes_on = true};
    fl_barrier_init(&barrier, 3);
    start_interrupted(&early[0], &stuck, &barrier); /* it stays in its handler */
    start_parties(&early[1], 1, &barrier);
    complete(&barrier);
    check_empty(&barrier, false);
    start_parties(late, 2, &barrier);
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 2);
    fl_barrier_abort(&barrier);
    join_parties(late, 2, FL_BARRIER_BROKEN);
    raise_flag(&stuck.decided, 1);
    join_parties(early, 2, FL_BARRIER_PASSED); /* whatever came after */
    CHECK_EQUAL(early[0].index, 0);
    CHECK_EQUAL(early[1].index, 1);
}

/* The barrier is filled by threads that do not sleep: each of them has to be seen by all the others. */
static void
test_many_parties(void)
{
    enum { OTHERS = 60 };
    fl_barrier barrier;
    party p[OTHERS];
    uint64_t seen = 0;
    fl_barrier_init(&barrier, OTHERS + 1);
    for (size_t i = 0; i < OTHERS; i++) {
        p[i] = (party){.barrier = &barrier};
        start_party(&p[i]);
    }
    wait_until_parked(&barrier, OTHERS);
    complete(&barrier);
    join_parties(p, OTHERS, FL_BARRIER_PASSED);
    for (size_t i = 0; i < OTHERS; i++) {
        CHECK(p[i].index < OTHERS);
        seen |= UINT64_C(1) << p[i].index;
    }
    CHECK_EQUAL(seen, (UINT64_C(1) << OTHERS) - 1);
}

/* ---- timeouts ---- */

static void
test_t33_timeout_breaks_it_for_all(void)
{
    fl_barrier barrier;
    party p[3];
    party hasty = {.barrier = &barrier, .timeout_ns = 2 * NS_PER_MS};
    fl_barrier_init(&barrier, 5);
    start_parties(p, 3, &barrier);
    int64_t start_ns = fl_clock_now_ns();
    (void)arrive(&hasty);
    CHECK_EQUAL(hasty.result, FL_BARRIER_BROKEN);
    CHECK(fl_clock_now_ns() - start_ns >= 2 * NS_PER_MS);
    check_empty(&barrier, true);
    join_parties(p, 3, FL_BARRIER_BROKEN);
    CHECK(!would_wait(&barrier));
    uint64_t index;
    for (int i = 0; i < 6; i++) {
        CHECK_EQUAL(arrive_here(&barrier, &index), FL_BARRIER_BROKEN); /* and it stays so */
    }
    check_empty(&barrier, true);
}

static void
test_timeout_of_one_of_those_who_wait(void)
{
    fl_barrier barrier;
    party p[3];
    fl_barrier_init(&barrier, 4);
    start_parties(p, 1, &barrier);
    p[1] = (party){.barrier = &barrier, .timeout_ns = 3 * NS_PER_MS};
    start_party(&p[1]);
    p[2] = (party){.barrier = &barrier};
    start_party(&p[2]);
    join_parties(p, 3, FL_BARRIER_BROKEN);
    check_empty(&barrier, true);
}

static flag may_attach;

static void
attach_late(fl_blocker *self)
{
    await_flag(&may_attach, 1);
    fake_attach(self);
}

/* B2: in one step, and not when the one that has timed out gets back to its runtime. */
static void
test_b2_timeout_wakes_the_others_at_once(void)
{
    fl_barrier barrier;
    party p[2];
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    blocker.base.attach = attach_late;
    fl_barrier_init(&barrier, 3);
    start_parties(p, 1, &barrier);
    p[1] = (party){.barrier = &barrier, .blocker = &blocker, .timeout_ns = NS_PER_MS};
    start_party(&p[1]);
    join_party(&p[0], FL_BARRIER_BROKEN);
    check_empty(&barrier, true);
    raise_flag(&may_attach, 1);
    join_party(&p[1], FL_BARRIER_BROKEN);
}

static void
test_no_time_at_all(void)
{
    const int64_t timeouts[] = {0, -1, INT64_MIN, 1};
    for (int i = 0; i < 4; i++) {
        fl_barrier barrier;
        uint64_t index;
        fl_barrier_init(&barrier, 2);
        CHECK_EQUAL(fl_barrier_wait(&barrier, timeouts[i], no_action, &index, NULL), FL_BARRIER_BROKEN);
        check_empty(&barrier, true);
        fl_barrier_reset(&barrier);
        party other;
        start_parties(&other, 1, &barrier);
        CHECK_EQUAL(fl_barrier_wait(&barrier, timeouts[i], no_action, &index, NULL), FL_BARRIER_PASSED);
        join_party(&other, FL_BARRIER_PASSED);
    }
}

static void
test_timeout_too_long_to_be_counted(void)
{
    fl_barrier barrier;
    fl_barrier_init(&barrier, 2);
    party other = {.barrier = &barrier, .timeout_ns = INT64_MAX - 1};
    start_party(&other);
    wait_until_parked(&barrier, 1);
    complete(&barrier);
    join_party(&other, FL_BARRIER_PASSED);
}

/* ---- abort, reset ---- */

static void
test_t33_abort(void)
{
    fl_barrier barrier;
    party p[2];
    fl_barrier_init(&barrier, 3);
    start_parties(p, 2, &barrier);
    for (int i = 0; i < 2; i++) {
        fl_barrier_abort(&barrier);
        check_empty(&barrier, true);
    }
    join_parties(p, 2, FL_BARRIER_BROKEN);
    fl_barrier_reset(&barrier);
    check_empty(&barrier, false);
    start_parties(p, 2, &barrier);
    complete(&barrier);
    join_parties(p, 2, FL_BARRIER_PASSED);
}

static void
test_t33_reset_sends_those_who_wait_away(void)
{
    fl_barrier barrier;
    party p[2];
    fl_barrier_init(&barrier, 3);
    fl_barrier_reset(&barrier);
    check_empty(&barrier, false);
    start_parties(p, 2, &barrier);
    fl_barrier_reset(&barrier);
    check_empty(&barrier, false);
    join_parties(p, 2, FL_BARRIER_BROKEN);
    start_parties(p, 2, &barrier); /* they count from the start */
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 2);
    complete(&barrier);
    join_parties(p, 2, FL_BARRIER_PASSED);
}

/* More generations than the word can tell apart make no difference to who has not been there. */
static void
test_generations_wrap(void)
{
    fl_barrier barrier;
    party p[2];
    fl_barrier_init(&barrier, 3);
    barrier.word |= ~UINT64_C(0) << 34; /* the last one */
    start_parties(p, 2, &barrier);
    complete(&barrier);
    join_parties(p, 2, FL_BARRIER_PASSED);
    check_empty(&barrier, false);
    CHECK_EQUAL(barrier.word, 0);
}

/* ---- interruptions ---- */

static bool
refuse_to_wait(void *ctx, int polls)
{
    (void)ctx;
    CHECK_EQUAL(polls, 1);
    return false;
}

static void
test_given_up_before_the_arrival(void)
{
    for (int interruptible = 0; interruptible < 2; interruptible++) {
        fl_barrier barrier;
        uint64_t index;
        fl_barrier_init(&barrier, 2);
        fake_blocker blocker = make_fake_blocker(interruptible, refuse_to_wait, NULL);
        fl_barrier_result result = fl_barrier_wait(&barrier, FL_DEADLINE_NEVER, no_action, &index, &blocker.base);
        CHECK_EQUAL(result, FL_BARRIER_GIVEN_UP);
        CHECK_EQUAL(blocker.polls, 1);
        CHECK_EQUAL(blocker.detaches, 0);
        check_empty(&barrier, false);
    }
}

static void
test_t33_b1_given_up_waiter_is_subtracted(void)
{
    fl_barrier barrier;
    party p[4];
    handler gives_up = {.goes_on = false};
    fl_barrier_init(&barrier, 4);
    start_parties(p, 1, &barrier);
    start_interrupted(&p[1], &gives_up, &barrier);
    start_parties(&p[2], 1, &barrier);
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 3); /* it keeps its place, and counts */
    raise_flag(&gives_up.decided, 1);
    join_party(&p[1], FL_BARRIER_GIVEN_UP);
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 2);
    CHECK(!fl_barrier_is_broken(&barrier));
    CHECK(would_wait(&barrier));
    start_parties(&p[3], 1, &barrier);
    complete(&barrier);
    join_party(&p[0], FL_BARRIER_PASSED);
    join_parties(&p[2], 2, FL_BARRIER_PASSED);
    CHECK_EQUAL(p[0].index, 0); /* B3: without a gap, and none twice */
    CHECK_EQUAL(p[2].index, 1);
    CHECK_EQUAL(p[3].index, 2);
}

static void
test_b6_waiter_keeps_its_place_while_a_handler_runs(void)
{
    fl_barrier barrier;
    party p[2];
    handler goes_on = {.goes_on = true};
    fl_barrier_init(&barrier, 3);
    start_interrupted(&p[0], &goes_on, &barrier);
    start_parties(&p[1], 1, &barrier);
    raise_flag(&goes_on.decided, 1);
    await_flag(&goes_on.polled, 1);
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 2);
    CHECK_EQUAL(fl_load_acquire_u32(&p[0].returned), 0);
    complete(&barrier);
    join_parties(p, 2, FL_BARRIER_PASSED);
    CHECK_EQUAL(p[0].index, 0);
    CHECK_EQUAL(p[1].index, 1);
}

/* What happens while the handler runs is what the wait returns; except where the handler ends it. */
static void
while_a_handler_runs(void (*happens)(fl_barrier *), fl_barrier_result result)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        fl_barrier barrier;
        party self;
        handler handler = {.goes_on = goes_on};
        fl_barrier_init(&barrier, 2);
        start_interrupted(&self, &handler, &barrier);
        happens(&barrier);
        CHECK_EQUAL(fl_barrier_waiting(&barrier), 0);
        raise_flag(&handler.decided, 1);
        join_party(&self, goes_on ? result : FL_BARRIER_GIVEN_UP);
        CHECK_EQUAL(fl_barrier_waiting(&barrier), 0); /* not subtracted from another generation */
        check_nobody(&barrier);
    }
}

static void
test_b6_passed_while_a_handler_runs(void)
{
    while_a_handler_runs(complete, FL_BARRIER_PASSED);
}

static void
test_b6_broken_while_a_handler_runs(void)
{
    while_a_handler_runs(abort_barrier, FL_BARRIER_BROKEN);
    while_a_handler_runs(reset_barrier, FL_BARRIER_BROKEN);
}

typedef struct {
    fl_barrier barrier;
    party others[2];
} company;

static bool
arrive_with_another(void *ctx, int polls)
{
    company *self = ctx;
    if (polls == 1) {
        start_parties(&self->others[1], 1, &self->barrier);
        complete(&self->barrier);
    }
    return true;
}

/* B8: the handler of a thread that is about to arrive brings those that were lacking; the thread itself is in the next
 * generation. */
static void
test_handler_arrives_first(void)
{
    company self;
    fake_blocker blocker = make_fake_blocker(true, arrive_with_another, &self);
    fl_barrier_init(&self.barrier, 3);
    start_parties(self.others, 1, &self.barrier);
    party me = {.barrier = &self.barrier, .blocker = &blocker, .timeout_ns = 2 * NS_PER_MS};
    (void)arrive(&me);
    join_parties(self.others, 2, FL_BARRIER_PASSED);
    CHECK_EQUAL(me.result, FL_BARRIER_BROKEN); /* nobody came in its time */
    CHECK(blocker.polls > 0);
    check_empty(&self.barrier, true);
}

static bool
refuse(void *ctx, int polls)
{
    (void)ctx;
    (void)polls;
    return false;
}

/* B8: who need not wait is not asked whether it may. */
static void
test_b8_who_need_not_wait_does_not_poll(void)
{
    fl_barrier barrier;
    fake_blocker blocker = make_fake_blocker(true, refuse, NULL);
    slow_action action = {.decided = 1, .result = true};
    party me = {.barrier = &barrier, .blocker = &blocker};
    fl_barrier_init(&barrier, 1);
    for (int acts = 0; acts < 2; acts++) {
        me.action = acts ? action_of(&action) : (fl_barrier_action){.run = NULL};
        (void)arrive(&me);
        CHECK_EQUAL(me.result, FL_BARRIER_PASSED);
    }
    CHECK_EQUAL(action.runs, 1);
    fl_barrier_abort(&barrier);
    (void)arrive(&me);
    CHECK_EQUAL(me.result, FL_BARRIER_BROKEN);
    fl_barrier_init(&barrier, 2);
    me.timeout_ns = -1;
    (void)arrive(&me);
    CHECK_EQUAL(me.result, FL_BARRIER_BROKEN);
    check_empty(&barrier, true);
    CHECK_EQUAL(blocker.polls, 0);
    fl_barrier_reset(&barrier);
    me.timeout_ns = 0;
    (void)arrive(&me);
    CHECK_EQUAL(me.result, FL_BARRIER_GIVEN_UP);
    CHECK_EQUAL(blocker.polls, 1);
    check_empty(&barrier, false);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_barrier_of_one);
    RUN(test_b1_arrivals_are_counted);
    RUN(test_t33_b3_indices_are_dealt_in_the_order_of_arrival);
    RUN(test_t33_b2_nobody_drains);
    RUN(test_many_parties);
    RUN(test_t33_timeout_breaks_it_for_all);
    RUN(test_timeout_of_one_of_those_who_wait);
    RUN(test_b2_timeout_wakes_the_others_at_once);
    RUN(test_no_time_at_all);
    RUN(test_timeout_too_long_to_be_counted);
    RUN(test_t33_abort);
    RUN(test_t33_reset_sends_those_who_wait_away);
    RUN(test_generations_wrap);
    RUN(test_given_up_before_the_arrival);
    RUN(test_t33_b1_given_up_waiter_is_subtracted);
    RUN(test_b6_waiter_keeps_its_place_while_a_handler_runs);
    RUN(test_b6_passed_while_a_handler_runs);
    RUN(test_b6_broken_while_a_handler_runs);
    RUN(test_handler_arrives_first);
    RUN(test_b8_who_need_not_wait_does_not_poll);
    return 0;
}
