/* core/fork.h: barriers at which threads wait, or whose action is at work, when the process forks. */

#include "barrier_helpers.h"
#include "check.h"
#include "fork_helpers.h"

/* Arrives until the barrier has been completed, each time inside of the wait before. */
static void
arrive_until_complete(void *arg)
{
    fl_barrier *barrier = arg;
    uint64_t before = fl_barrier_waiting(barrier);
    if (!would_wait(barrier)) {
        complete(barrier);
        return;
    }
    nested_blocker nested = make_nested_blocker(arrive_until_complete, barrier);
    party me = {.barrier = barrier, .blocker = &nested.blocker};
    (void)arrive(&me);
    CHECK_EQUAL(me.result, FL_BARRIER_PASSED);
    CHECK_EQUAL(me.index, before);
}

/* ---- a barrier whose waiters are not in the child ---- */

static void
check_barrier_is_usable(void *arg)
{
    fl_barrier *barrier = arg;
    for (int i = 0; i < 2; i++) {
        check_empty(barrier, false);
        arrive_until_complete(barrier);
    }
    check_empty(barrier, false);
}

static void
test_t34_b1_waiters_that_are_not_in_the_child_do_not_count(void)
{
    fl_barrier barrier;
    party p[3];
    fl_barrier_init(&barrier, 4);
    start_parties(p, 3, &barrier);
    in_child(check_barrier_is_usable, &barrier);
    CHECK_EQUAL(fl_barrier_waiting(&barrier), 3);
    complete(&barrier);
    join_parties(p, 3, FL_BARRIER_PASSED);
}

/* ---- a fork in the poll() of a thread that waits ---- */

typedef struct {
    fl_barrier barrier;
    int64_t timeout_ns;
    slow_action action;
    forker forker;
    fl_barrier_result result;
} barrier_scene;

static void *
arrive_and_fork(void *arg)
{
    barrier_scene *self = arg;
    fake_blocker blocker = make_fake_blocker(true, fork_in_poll, &self->forker);
    party me = {.barrier = &self->barrier, .blocker = &blocker, .timeout_ns = self->timeout_ns};
    self->forker.scene = self;
    self->forker.parent = getpid();
    (void)arrive(&me);
    end_child(&self->forker, (int)me.result);
    self->result = me.result;
    return NULL;
}

static void
expect_one_of_its_own(void *arg)
{
    barrier_scene *self = arg;
    CHECK_EQUAL(fl_barrier_waiting(&self->barrier), 1);
    CHECK_EQUAL(fl_lot_count(&self->barrier), 1);
    if (self->forker.goes_on) {
        arrive_until_complete(&self->barrier);
    }
}

static void
test_t34_b6_fork_in_the_poll_of_a_barrier(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        barrier_scene self = {.forker = {.in_child = expect_one_of_its_own, .goes_on = goes_on}};
        self.forker.end = goes_on ? FL_BARRIER_PASSED : FL_BARRIER_GIVEN_UP;
        party p[2];
        fl_barrier_init(&self.barrier, 4);
        start_parties(p, 2, &self.barrier);
        pthread_t thread = start_thread(arrive_and_fork, &self);
        interrupt_until(thread, &self.forker.forked, 1);
        CHECK_EQUAL(fl_barrier_waiting(&self.barrier), 3);
        complete(&self.barrier);
        join_thread(thread);
        CHECK_EQUAL(self.result, FL_BARRIER_PASSED);
        join_parties(p, 2, FL_BARRIER_PASSED);
    }
}

/* ---- the action's thread is not in the child ---- */

static void
check_dead_action(void *arg)
{
    fl_barrier *barrier = arg;
    uint64_t index;
    CHECK_EQUAL(arrive_here(barrier, &index), FL_BARRIER_BROKEN);
    check_empty(barrier, true);
    fl_barrier_reset(barrier);
    check_barrier_is_usable(barrier);
}

static void
test_t34_action_that_is_not_in_the_child_has_failed(void)
{
    fl_barrier barrier;
    party p[2];
    slow_action action = {.result = true};
    fl_barrier_init(&barrier, 2);
    start_parties(p, 1, &barrier);
    start_actor(&p[1], &action, &barrier);
    in_child(check_dead_action, &barrier);
    raise_flag(&action.decided, 1);
    join_parties(p, 2, FL_BARRIER_PASSED);
}

static void
expect_acting(void *arg)
{
    barrier_scene *self = arg;
    CHECK(!fl_barrier_is_broken(&self->barrier));
    CHECK_EQUAL(fl_lot_count(&self->barrier), 1);
}

static void
find_it_broken(void *arg)
{
    uint64_t index;
    expect_acting(arg);
    CHECK_EQUAL(arrive_here(&((barrier_scene *)arg)->barrier, &index), FL_BARRIER_BROKEN);
}

static void
fork_during_the_action(barrier_scene *self)
{
    self->action = (slow_action){.result = true};
    self->forker.after = &self->action.running;
    fl_barrier_init(&self->barrier, 2);
    pthread_t thread = start_thread(arrive_and_fork, self);
    wait_until_parked(&self->barrier, 1);
    party actor;
    start_actor(&actor, &self->action, &self->barrier);
    interrupt_until(thread, &self->forker.forked, 1);
    raise_flag(&self->action.decided, 1);
    join_thread(thread);
    CHECK_EQUAL(self->result, FL_BARRIER_PASSED);
    join_party(&actor, FL_BARRIER_PASSED);
}

/* B4 is for actions that will end. */
static void
test_t34_b4_timeout_during_an_action_that_is_not_in_the_child(void)
{
    barrier_scene self = {
        .timeout_ns = 800 * NS_PER_MS, /* it is over in the parent, too, before the action is */
        .forker = {.in_child = expect_acting, .goes_on = true, .end = FL_BARRIER_BROKEN},
    };
    fork_during_the_action(&self);
}

/* B7: without a timeout too, and at once. */
static void
test_t34_b7_wait_during_an_action_that_is_not_in_the_child(void)
{
    barrier_scene self = {.forker = {.in_child = expect_acting, .goes_on = true, .end = FL_BARRIER_BROKEN}};
    fork_during_the_action(&self);
}

/* The guest has a timeout, which does not count yet. */
static void
test_t34_b7_guest_of_an_action_that_is_not_in_the_child(void)
{
    barrier_scene self = {
        .timeout_ns = TEST_LIMIT_S * INT64_C(1000000000),
        .forker = {.in_child = expect_acting, .goes_on = true, .end = FL_BARRIER_BROKEN},
        .action = {.result = true},
    };
    party actor;
    fl_barrier_init(&self.barrier, 1);
    start_actor(&actor, &self.action, &self.barrier);
    pthread_t thread = start_thread(arrive_and_fork, &self);
    interrupt_until(thread, &self.forker.forked, 1);
    raise_flag(&self.action.decided, 1);
    join_thread(thread); /* it has acted for itself */
    CHECK_EQUAL(self.result, FL_BARRIER_PASSED);
    join_party(&actor, FL_BARRIER_PASSED);
}

static void
test_t34_given_up_during_an_action_that_is_not_in_the_child(void)
{
    barrier_scene self = {.forker = {.in_child = expect_acting, .end = FL_BARRIER_GIVEN_UP}};
    fork_during_the_action(&self);
}

/* Whoever finds out first that the action will not end breaks the barrier for all. */
static void
test_t34_handler_in_the_child_finds_the_action_gone(void)
{
    barrier_scene self = {.forker = {.in_child = find_it_broken, .goes_on = true, .end = FL_BARRIER_BROKEN}};
    fork_during_the_action(&self);
}

/* B7, B9: as does who opens it, which would be refused for ever otherwise. */
static void
open_it_in_the_child(void *arg)
{
    fl_barrier *barrier = &((barrier_scene *)arg)->barrier;
    expect_acting(arg);
    CHECK(fl_barrier_open(barrier));
    CHECK(fl_barrier_is_broken(barrier));
    CHECK_EQUAL(fl_barrier_waiting(barrier), 0);
}

static void
test_t34_b9_action_that_is_not_in_the_child_does_not_keep_it_closed(void)
{
    barrier_scene self = {.forker = {.in_child = open_it_in_the_child, .goes_on = true, .end = FL_BARRIER_BROKEN}};
    fork_during_the_action(&self);
}

/* ---- a fork in the action ---- */

static bool
fork_in_action(void *ctx)
{
    forker *self = ctx;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(TEST_LIMIT_S / 2);
        check_nobody(self->scene);
        return self->goes_on;
    }
    await_success(pid);
    return true;
}

static void *
act_and_fork(void *arg)
{
    forker *self = arg;
    party me = {.barrier = self->scene, .action = {.run = fork_in_action, .ctx = self}};
    (void)arrive(&me);
    if (getpid() != self->parent) {
        check_empty(self->scene, !self->goes_on); /* it has acted for itself alone */
    }
    end_child(self, (int)me.result);
    CHECK_EQUAL(me.result, FL_BARRIER_PASSED);
    return NULL;
}

static void
test_t34_fork_in_the_action(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        fl_barrier barrier;
        forker self = {.scene = &barrier, .goes_on = goes_on, .parent = getpid()};
        self.end = goes_on ? FL_BARRIER_PASSED : FL_BARRIER_GIVEN_UP;
        party p[2];
        fl_barrier_init(&barrier, 3);
        start_parties(p, 2, &barrier);
        join_thread(start_thread(act_and_fork, &self));
        join_parties(p, 2, FL_BARRIER_PASSED);
        check_empty(&barrier, false);
    }
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t34_b1_waiters_that_are_not_in_the_child_do_not_count);
    RUN(test_t34_b6_fork_in_the_poll_of_a_barrier);
    RUN(test_t34_action_that_is_not_in_the_child_has_failed);
    RUN(test_t34_b4_timeout_during_an_action_that_is_not_in_the_child);
    RUN(test_t34_b7_wait_during_an_action_that_is_not_in_the_child);
    RUN(test_t34_b7_guest_of_an_action_that_is_not_in_the_child);
    RUN(test_t34_given_up_during_an_action_that_is_not_in_the_child);
    RUN(test_t34_handler_in_the_child_finds_the_action_gone);
    RUN(test_t34_b9_action_that_is_not_in_the_child_does_not_keep_it_closed);
    RUN(test_t34_fork_in_the_action);
    return 0;
}
