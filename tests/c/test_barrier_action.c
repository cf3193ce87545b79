/* core/barrier.h: the phase ACTING, and the guests who come in it. */

#include "check.h"
#include "barrier_helpers.h"

enum { TIMEOUT_NS = 2 * NS_PER_MS };

/* ---- the action ---- */

static void
test_action_of_a_barrier_of_one(void)
{
    fl_barrier barrier;
    fl_barrier_init(&barrier, 1);
    for (int result = 0; result < 2; result++) {
        slow_action action = {.decided = 1, .result = !result};
        party self = {.barrier = &barrier, .action = action_of(&action)};
        (void)arrive(&self);
        CHECK_EQUAL(self.result, result ? FL_BARRIER_GIVEN_UP : FL_BARRIER_PASSED);
        CHECK_EQUAL(action.runs, 1);
        check_empty(&barrier, result);
    }
}

static void
test_action_runs_before_all_go_on(void)
{
    fl_barrier barrier;
    party p[3];
    slow_action action = {.result = true};
    fl_barrier_init(&barrier, 3);
    start_parties(p, 2, &barrier);
    start_actor(&p[2], &action, &barrier);
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 3);
    CHECK(!fl_barrier_is_broken(&barrier));
    CHECK(would_wait(&barrier));
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(fl_load_acquire_u32(&p[i].returned), 0);
    }
    raise_flag(&action.decided, 1);
    join_parties(p, 3, FL_BARRIER_PASSED);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQUAL(p[i].index, i);
    }
    CHECK_EQUAL(action.runs, 1);
    check_empty(&barrier, false);
}

static void
test_t33_failed_action_breaks_it(void)
{
    fl_barrier barrier;
    party p[3];
    slow_action action = {.result = false};
    fl_barrier_init(&barrier, 3);
    start_parties(p, 2, &barrier);
    start_actor(&p[2], &action, &barrier);
    raise_flag(&action.decided, 1);
    join_parties(p, 2, FL_BARRIER_BROKEN);
    join_party(&p[2], FL_BARRIER_GIVEN_UP);
    check_empty(&barrier, true);
    CHECK(!would_wait(&barrier));
}

/* The last one's counts, and nobody else's. */
static void
test_action_of_the_others_does_not_run(void)
{
    fl_barrier barrier;
    slow_action action = {.decided = 1, .result = true};
    party other = {.barrier = &barrier, .action = action_of(&action)};
    fl_barrier_init(&barrier, 2);
    start_party(&other);
    wait_until_parked(&barrier, 1);
    complete(&barrier);
    join_party(&other, FL_BARRIER_PASSED);
    CHECK_EQUAL(action.runs, 0);
}

static void
enter_again(fl_barrier *barrier)
{
    uint64_t index;
    CHECK_EQUAL(arrive_here(barrier, &index), FL_BARRIER_REENTERED);
    CHECK_EQUAL(fl_barrier_waiting(barrier), barrier->parties);
}

static void
test_t33_action_that_enters_the_barrier(void)
{
    for (size_t parties = 1; parties <= 2; parties++) {
        fl_barrier barrier;
        party p[2];
        slow_action action = {.result = true, .decided = 1, .during = enter_again};
        fl_barrier_init(&barrier, parties);
        start_parties(p, parties - 1, &barrier);
        start_actor(&p[1], &action, &barrier);
        join_party(&p[1], FL_BARRIER_PASSED);
        join_parties(p, parties - 1, FL_BARRIER_PASSED);
        check_empty(&barrier, false);
    }
}

/* ---- B4: no timeouts ---- */

static flag may_sleep;

static void
detach_late(fl_blocker *self)
{
    fake_detach(self);
    await_flag(&may_sleep, 1);
}

static void
test_b4_wait_does_not_time_out_during_the_action(void)
{
    for (int good = 0; good < 2; good++) {
        fl_barrier barrier;
        party p[3];
        slow_action action = {.result = good};
        fake_blocker blocker = make_fake_blocker(good, NULL, NULL);
        blocker.base.detach = detach_late; /* it sleeps when the action is at work, and its time is over then */
        may_sleep = 0;
        fl_barrier_init(&barrier, 3);
        start_parties(p, 1, &barrier);
        p[1] = (party){.barrier = &barrier, .blocker = &blocker, .timeout_ns = -1};
        start_party(&p[1]);
        wait_until_parked(&barrier, 2);
        start_actor(&p[2], &action, &barrier);
        raise_flag(&may_sleep, 1);
        spin_ns(TIMEOUT_NS);
        CHECK_EQUAL(fl_barrier_waiting(&barrier), 3);
        CHECK_EQUAL(fl_load_acquire_u32(&p[1].returned), 0);
        raise_flag(&action.decided, 1);
        join_parties(p, 2, good ? FL_BARRIER_PASSED : FL_BARRIER_BROKEN);
        join_party(&p[2], good ? FL_BARRIER_PASSED : FL_BARRIER_GIVEN_UP);
    }
}

/* ---- B1: leaving during the action ---- */

static void
test_t33_b1_b3_given_up_during_the_action(void)
{
    fl_barrier barrier;
    party p[4];
    handler gives_up = {.goes_on = false};
    slow_action action = {.result = true};
    fl_barrier_init(&barrier, 4);
    start_parties(p, 1, &barrier);
    start_interrupted(&p[1], &gives_up, &barrier);
    start_parties(&p[2], 1, &barrier);
    start_actor(&p[3], &action, &barrier);
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 4);
    raise_flag(&gives_up.decided, 1);
    join_party(&p[1], FL_BARRIER_GIVEN_UP);
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 3);
    raise_flag(&action.decided, 1);
    join_party(&p[0], FL_BARRIER_PASSED);
    join_parties(&p[2], 2, FL_BARRIER_PASSED);
    CHECK_EQUAL(p[0].index, 0);
    CHECK_EQUAL(p[2].index, 1);
    CHECK_EQUAL(p[3].index, 3);
    check_empty(&barrier, false);
}

/* ---- B5: abort and reset ---- */

/* From another thread, or from the action itself. */
static void
end_it_during_the_action(void (*happens)(fl_barrier *), bool from_inside, bool good, bool breaks)
{
    fl_barrier barrier;
    party p[2];
    slow_action action = {.result = good, .during = from_inside ? happens : NULL};
    fl_barrier_init(&barrier, 2);
    start_parties(p, 1, &barrier);
    start_actor(&p[1], &action, &barrier);
    if (!from_inside) {
        happens(&barrier);
    }
    join_party(&p[0], FL_BARRIER_BROKEN); /* at once */
    check_empty(&barrier, breaks);
    party next[2];
    if (!breaks) {
        start_parties(next, 1, &barrier); /* the next generation does not wait for the old action, */
    }
    raise_flag(&action.decided, 1);
    join_party(&p[1], good ? FL_BARRIER_BROKEN : FL_BARRIER_GIVEN_UP);
    CHECK_EQUAL(fl_barrier_is_broken(&barrier), breaks);
    if (!breaks) {
        CHECK_EQUAL(fl_barrier_waiting(&barrier), 1); /* and its end is nothing to it */
        complete(&barrier);
        join_party(&next[0], FL_BARRIER_PASSED);
    }
    check_empty(&barrier, breaks);
}

static void
test_t33_b5_abort_during_the_action(void)
{
    for (int i = 0; i < 4; i++) {
        end_it_during_the_action(abort_barrier, i & 1, i & 2, true);
    }
}

static void
test_t33_b5_reset_during_the_action(void)
{
    for (int i = 0; i < 4; i++) {
        end_it_during_the_action(reset_barrier, i & 1, i & 2, false);
    }
}

/* Two actions at once: that of a generation which was reset, and that of the next one. */
static void
test_b5_old_action_ends_during_the_next_one(void)
{
    for (int good = 0; good < 2; good++) {
        fl_barrier barrier;
        party p[2];
        party next[2];
        slow_action old = {.result = good};
        slow_action action = {.result = true};
        fl_barrier_init(&barrier, 2);
        start_parties(p, 1, &barrier);
        start_actor(&p[1], &old, &barrier);
        fl_barrier_reset(&barrier);
        join_party(&p[0], FL_BARRIER_BROKEN);
        start_parties(next, 1, &barrier);
        start_actor(&next[1], &action, &barrier);
        raise_flag(&old.decided, 1);
        join_party(&p[1], good ? FL_BARRIER_BROKEN : FL_BARRIER_GIVEN_UP);
        CHECK_EQUAL(fl_barrier_waiting(&barrier), 2);
        CHECK_EQUAL(fl_lot_count(&barrier), 1);
        raise_flag(&action.decided, 1);
        join_parties(next, 2, FL_BARRIER_PASSED);
        check_empty(&barrier, false);
    }
}

static void
reset_and_arrive(fl_barrier *barrier)
{
    party second;
    uint64_t index;
    fl_barrier_reset(barrier);
    start_parties(&second, 1, barrier);
    slow_action inner = {.decided = 1, .result = true};
    party self = {.barrier = barrier, .action = action_of(&inner)};
    (void)arrive(&self);
    CHECK_EQUAL(self.result, FL_BARRIER_PASSED);
    CHECK_EQUAL(inner.runs, 1);
    join_party(&second, FL_BARRIER_PASSED);
    fl_barrier_abort(barrier);
    CHECK_EQUAL(arrive_here(barrier, &index), FL_BARRIER_BROKEN);
    fl_barrier_reset(barrier);
}

/* An action may use its barrier for another generation, even to run an action in it. */
static void
test_b5_action_inside_an_action(void)
{
    fl_barrier barrier;
    party p[2];
    slow_action action = {.result = true, .decided = 1, .during = reset_and_arrive};
    fl_barrier_init(&barrier, 2);
    start_parties(p, 1, &barrier);
    start_actor(&p[1], &action, &barrier);
    join_parties(p, 2, FL_BARRIER_BROKEN);
    check_empty(&barrier, false);
}

/* ---- guests ---- */

/* Starts a barrier of two whose action is at work, and `count` guests. */
static void
start_with_guests(fl_barrier *barrier, party *p, slow_action *action, party *guests, size_t count)
{
    fl_barrier_init(barrier, 2);
    start_parties(p, 1, barrier);
    start_actor(&p[1], action, barrier);
    start_parties(guests, count, barrier);
    CHECK_EQUAL(fl_barrier_waiting(barrier), 2); /* they do not count */
}

static void
test_b1_guests_are_the_next_generation(void)
{
    fl_barrier barrier;
    party p[2];
    party guests[2];
    slow_action action = {.result = true};
    start_with_guests(&barrier, p, &action, guests, 2);
    raise_flag(&action.decided, 1);
    join_parties(p, 2, FL_BARRIER_PASSED);
    join_parties(guests, 2, FL_BARRIER_PASSED);
    CHECK_EQUAL(guests[0].index + guests[1].index, 1); /* B3 */
    CHECK_EQUAL(p[0].index + p[1].index, 1);
    check_empty(&barrier, false);
}

/* One guest stays, and waits for another thread with the time that it has had from the start. */
static void
test_b2_one_guest_waits_on(void)
{
    fl_barrier barrier;
    party p[2];
    party guest;
    slow_action action = {.result = true};
    start_with_guests(&barrier, p, &action, &guest, 1);
    raise_flag(&action.decided, 1);
    join_parties(p, 2, FL_BARRIER_PASSED);
    while (fl_barrier_waiting(&barrier) < 1) {
        pause_briefly();
    }
    wait_until_parked(&barrier, 1);
    complete(&barrier);
    join_party(&guest, FL_BARRIER_PASSED);
    CHECK_EQUAL(guest.index, 0);
}

static void
test_guests_of_a_barrier_that_breaks(void)
{
    for (int aborted = 0; aborted < 2; aborted++) {
        fl_barrier barrier;
        party p[2];
        party guests[3];
        slow_action action = {.result = false};
        start_with_guests(&barrier, p, &action, guests, 3);
        if (aborted) {
            fl_barrier_abort(&barrier);
            join_parties(guests, 3, FL_BARRIER_BROKEN);
        }
        raise_flag(&action.decided, 1);
        join_party(&p[0], FL_BARRIER_BROKEN);
        join_party(&p[1], FL_BARRIER_GIVEN_UP);
        if (!aborted) {
            join_parties(guests, 3, FL_BARRIER_BROKEN);
        }
        check_empty(&barrier, true);
    }
}

static void
test_guests_of_a_barrier_that_is_reset(void)
{
    fl_barrier barrier;
    party p[2];
    party guests[2];
    slow_action action = {.result = true};
    start_with_guests(&barrier, p, &action, guests, 2);
    fl_barrier_reset(&barrier);
    join_parties(guests, 2, FL_BARRIER_PASSED); /* they were not there yet when it was reset */
    join_party(&p[0], FL_BARRIER_BROKEN);
    raise_flag(&action.decided, 1);
    join_party(&p[1], FL_BARRIER_BROKEN);
    check_empty(&barrier, false);
}

/* A guest's time begins when it has arrived. */
static void
test_guest_does_not_time_out(void)
{
    fl_barrier barrier;
    party p[2];
    party guest = {.barrier = &barrier, .timeout_ns = TIMEOUT_NS};
    slow_action action = {.result = true};
    start_with_guests(&barrier, p, &action, NULL, 0);
    start_party(&guest);
    wait_until_parked(&barrier, 2);
    spin_ns(3 * TIMEOUT_NS);
    CHECK_EQUAL(fl_lot_count(&barrier), 2);
    raise_flag(&action.decided, 1);
    join_parties(p, 2, FL_BARRIER_PASSED);
    join_party(&guest, FL_BARRIER_BROKEN); /* nobody else comes */
    check_empty(&barrier, true);
}

/* ---- B7, B8: what poll() is told, which refuses waits that nobody will end ---- */

typedef struct {
    fake_blocker blocker;
    int refused_poll; /* the first one that may be refused */
    bool was_timed;   /* at the last poll */
} strict;

static bool
refuse_untimed(void *ctx, int polls)
{
    strict *self = ctx;
    self->was_timed = self->blocker.base.timed;
    return self->was_timed || polls < self->refused_poll;
}

static party
strict_party(strict *self, fl_barrier *barrier, int64_t timeout_ns)
{
    self->blocker = make_fake_blocker(true, refuse_untimed, self);
    self->blocker.base.timed = timeout_ns != 0;
    return (party){.barrier = barrier, .blocker = &self->blocker, .timeout_ns = timeout_ns};
}

/* A guest waits for the action and nothing else, whatever its timeout. */
static void
test_b7_wait_of_a_guest_is_not_timed(void)
{
    fl_barrier barrier;
    party p[2];
    strict blocker = {.refused_poll = 1};
    slow_action action = {.result = true};
    start_with_guests(&barrier, p, &action, NULL, 0);
    party guest = strict_party(&blocker, &barrier, 1000 * NS_PER_MS);
    (void)arrive(&guest);
    CHECK_EQUAL(guest.result, FL_BARRIER_GIVEN_UP);
    CHECK_EQUAL(blocker.blocker.polls, 1);
    CHECK_EQUAL(fl_lot_count(&barrier), 1);
    raise_flag(&action.decided, 1);
    join_parties(p, 2, FL_BARRIER_PASSED);
    check_empty(&barrier, false);
}

typedef struct {
    fl_barrier barrier;
    party p[3];
    slow_action action;
    fake_blocker blocker;
} overtaken;

static bool
become_guest(void *ctx, int polls)
{
    overtaken *self = ctx;
    if (polls == 1) {
        CHECK(self->blocker.base.timed);
        start_parties(&self->p[1], 1, &self->barrier);
        start_actor(&self->p[2], &self->action, &self->barrier);
    }
    return self->blocker.base.timed;
}

/* B8: who was asked as one that arrives, and is a guest by then, is asked again. */
static void
test_b8_who_becomes_a_guest_is_asked_again(void)
{
    overtaken self = {.action = {.result = true}};
    self.blocker = make_fake_blocker(false, become_guest, &self); /* so that it is asked before it sleeps only */
    fl_barrier_init(&self.barrier, 3);
    start_parties(self.p, 1, &self.barrier);
    party me = {.barrier = &self.barrier, .blocker = &self.blocker, .timeout_ns = 1000 * NS_PER_MS};
    (void)arrive(&me);
    CHECK_EQUAL(me.result, FL_BARRIER_GIVEN_UP);
    CHECK_EQUAL(self.blocker.polls, 2);
    raise_flag(&self.action.decided, 1);
    join_parties(self.p, 3, FL_BARRIER_PASSED);
    check_empty(&self.barrier, false);
}

/* When it has arrived it has a deadline again. */
static void
test_b8_guest_that_arrives_is_timed(void)
{
    fl_barrier barrier;
    party p[2];
    strict blocker = {.refused_poll = INT32_MAX};
    slow_action action = {.result = true};
    start_with_guests(&barrier, p, &action, NULL, 0);
    party guest = strict_party(&blocker, &barrier, TIMEOUT_NS);
    start_party(&guest);
    wait_until_parked(&barrier, 2);
    raise_flag(&action.decided, 1);
    join_parties(p, 2, FL_BARRIER_PASSED);
    join_party(&guest, FL_BARRIER_BROKEN); /* nobody else comes */
    CHECK(blocker.was_timed);
    check_empty(&barrier, true);
}

/* B4: a wait whose timeout is refused is timed no more. */
static void
test_b7_refused_timeout_is_told_to_poll(void)
{
    fl_barrier barrier;
    party p[2];
    strict blocker = {.refused_poll = 1};
    slow_action action = {.result = true};
    fl_barrier_init(&barrier, 2);
    p[0] = strict_party(&blocker, &barrier, -1);
    blocker.blocker.base.detach = detach_late; /* as above */
    may_sleep = 0;
    start_party(&p[0]);
    wait_until_parked(&barrier, 1);
    start_actor(&p[1], &action, &barrier);
    raise_flag(&may_sleep, 1);
    join_party(&p[0], FL_BARRIER_GIVEN_UP); /* although the action runs on */
    CHECK(!blocker.was_timed);
    raise_flag(&action.decided, 1);
    join_party(&p[1], FL_BARRIER_PASSED);
    check_empty(&barrier, false);
}

static void
test_interrupted_guest(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        fl_barrier barrier;
        party p[2];
        party guest;
        handler handler = {.goes_on = goes_on};
        slow_action action = {.result = true};
        start_with_guests(&barrier, p, &action, NULL, 0);
        start_interrupted(&guest, &handler, &barrier);
        CHECK_EQUAL(fl_barrier_waiting(&barrier), 2);
        CHECK_EQUAL(fl_lot_count(&barrier), 2);
        raise_flag(&handler.decided, 1);
        if (!goes_on) {
            join_party(&guest, FL_BARRIER_GIVEN_UP);
        }
        await_flag(&handler.polled, 1);
        CHECK_EQUAL(fl_barrier_waiting(&barrier), 2); /* it has not been subtracted */
        raise_flag(&action.decided, 1);
        join_parties(p, 2, FL_BARRIER_PASSED);
        if (goes_on) {
            wait_until_parked(&barrier, 1);
            complete(&barrier);
            join_party(&guest, FL_BARRIER_PASSED);
        }
        check_empty(&barrier, false);
    }
}

/* The action is over while the guest's handler runs. */
static void
test_guest_is_let_go_while_a_handler_runs(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        fl_barrier barrier;
        party p[2];
        party guest;
        handler handler = {.goes_on = goes_on};
        slow_action action = {.result = true};
        start_with_guests(&barrier, p, &action, NULL, 0);
        start_interrupted(&guest, &handler, &barrier);
        raise_flag(&action.decided, 1);
        join_parties(p, 2, FL_BARRIER_PASSED);
        check_empty(&barrier, false);
        raise_flag(&handler.decided, 1);
        if (goes_on) {
            wait_until_parked(&barrier, 1);
            complete(&barrier);
        }
        join_party(&guest, goes_on ? FL_BARRIER_PASSED : FL_BARRIER_GIVEN_UP);
        check_empty(&barrier, false);
    }
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_action_of_a_barrier_of_one);
    RUN(test_action_runs_before_all_go_on);
    RUN(test_t33_failed_action_breaks_it);
    RUN(test_action_of_the_others_does_not_run);
    RUN(test_t33_action_that_enters_the_barrier);
    RUN(test_b4_wait_does_not_time_out_during_the_action);
    RUN(test_t33_b1_b3_given_up_during_the_action);
    RUN(test_t33_b5_abort_during_the_action);
    RUN(test_t33_b5_reset_during_the_action);
    RUN(test_b5_old_action_ends_during_the_next_one);
    RUN(test_b5_action_inside_an_action);
    RUN(test_b1_guests_are_the_next_generation);
    RUN(test_b2_one_guest_waits_on);
    RUN(test_guests_of_a_barrier_that_breaks);
    RUN(test_guests_of_a_barrier_that_is_reset);
    RUN(test_guest_does_not_time_out);
    RUN(test_b7_wait_of_a_guest_is_not_timed);
    RUN(test_b8_who_becomes_a_guest_is_asked_again);
    RUN(test_b8_guest_that_arrives_is_timed);
    RUN(test_b7_refused_timeout_is_told_to_poll);
    RUN(test_interrupted_guest);
    RUN(test_guest_is_let_go_while_a_handler_runs);
    return 0;
}
