/* core/barrier.h: many rounds, with whatever can come in between. */

#include "check.h"
#include "barrier_helpers.h"

/* ---- undisturbed ---- */

enum { RUNNERS = 4, ROUNDS = 1000 };

typedef struct {
    fl_barrier barrier;
    bool acts;
    int written[RUNNERS]; /* not atomic: the barrier orders it */
    int acted;            /* the same */
    fl_atomic_u64 seen[ROUNDS];
} relay;

typedef struct {
    relay *relay;
    int which;
    pthread_t thread;
} runner;

static bool
check_written(void *ctx)
{
    relay *self = ctx;
    for (int i = 0; i < RUNNERS; i++) {
        CHECK_EQUAL(self->written[i], self->acted); /* all have written, and nobody has gone on */
    }
    self->acted++;
    return true;
}

static uint64_t
pass_it(relay *self, bool acts)
{
    party me = {.barrier = &self->barrier};
    if (acts) {
        me.action = (fl_barrier_action){.run = check_written, .ctx = self};
    }
    (void)arrive(&me);
    CHECK_EQUAL(me.result, FL_BARRIER_PASSED);
    CHECK(me.index < RUNNERS);
    return me.index;
}

static void *
run_relay(void *arg)
{
    runner *me = arg;
    relay *self = me->relay;
    for (int round = 0; round < ROUNDS; round++) {
        self->written[me->which] = round;
        uint64_t bit = UINT64_C(1) << pass_it(self, self->acts);
        CHECK_EQUAL(fl_add_relaxed_u64(&self->seen[round], bit) & bit, 0);
        for (int i = 0; i < RUNNERS; i++) {
            CHECK_EQUAL(self->written[i], round);
        }
        CHECK_EQUAL(self->acted, self->acts ? round + 1 : 0);
        (void)pass_it(self, false); /* so that nobody writes before all have read */
    }
    return NULL;
}

static void
test_t33_b3_indices_are_unique(void)
{
    for (int acts = 0; acts < 2; acts++) {
        static relay self;
        runner runners[RUNNERS];
        self = (relay){.acts = acts};
        fl_barrier_init(&self.barrier, RUNNERS);
        for (int i = 0; i < RUNNERS; i++) {
            runners[i] = (runner){.relay = &self, .which = i};
            runners[i].thread = start_thread(run_relay, &runners[i]);
        }
        for (int i = 0; i < RUNNERS; i++) {
            join_thread(runners[i].thread);
        }
        for (int round = 0; round < ROUNDS; round++) {
            CHECK_EQUAL(self.seen[round], (1 << RUNNERS) - 1);
        }
        check_empty(&self.barrier, false);
    }
}

/* What happened before it was broken is seen by who finds it so. */
typedef struct {
    fl_barrier barrier;
    int written; /* not atomic */
} message;

static void *
read_when_broken(void *arg)
{
    message *self = arg;
    while (!fl_barrier_is_broken(&self->barrier)) {
        sched_yield();
    }
    CHECK_EQUAL(self->written, 1);
    return NULL;
}

static void
test_breaking_releases_and_finding_it_broken_acquires(void)
{
    for (int round = 0; round < 100; round++) {
        message self = {.written = 0};
        fl_barrier_init(&self.barrier, 2);
        pthread_t thread = start_thread(read_when_broken, &self);
        self.written = 1;
        fl_barrier_abort(&self.barrier);
        join_thread(thread);
    }
}

/* ---- all agree whether it was passed ---- */

enum { DISPUTES = 1200 };

/* What may end the wait of two threads, beside their arrival. */
typedef enum { TIMEOUT, ABORT, RESET, KINDS } trouble;

typedef struct {
    fl_barrier barrier;
    trouble trouble;
    bool acts;
    fl_atomic_u64 acted;
    party parties[2];
    gate start, end; /* of two parties and a trouble-maker */
} dispute;

typedef struct {
    dispute *disputes;
    int which;
    uint64_t random;
} disputer;

static bool
act_at_once(void *ctx)
{
    (void)fl_add_relaxed_u64(ctx, 1);
    return true;
}

static void *
dispute_all(void *arg)
{
    disputer *self = arg;
    for (int i = 0; i < DISPUTES; i++) {
        dispute *current = &self->disputes[i];
        party *me = &current->parties[self->which];
        *me = (party){.barrier = &current->barrier};
        if (current->acts) {
            me->action = (fl_barrier_action){.run = act_at_once, .ctx = &current->acted};
        }
        if (current->trouble != ABORT) {
            int64_t magnitude = INT64_C(1) << (12 + random_below(&self->random, 9)); /* to 1 ms */
            me->timeout_ns = 1 + random_below(&self->random, magnitude);
        }
        pass_gate(&current->start);
        spin_ns(random_below(&self->random, 20 * 1000));
        (void)arrive(me);
        pass_gate(&current->end);
    }
    return NULL;
}

static void
make_trouble(dispute *current, uint64_t *random)
{
    pass_gate(&current->start);
    spin_ns(random_below(random, 25 * 1000));
    if (current->trouble == ABORT) {
        fl_barrier_abort(&current->barrier);
    }
    else if (current->trouble == RESET) {
        fl_barrier_reset(&current->barrier);
    }
    pass_gate(&current->end);
}

/* Returns whether they have passed. */
static bool
check_agreement(const dispute *current)
{
    const party *p = current->parties;
    bool passed = p[0].result == FL_BARRIER_PASSED;
    CHECK_EQUAL(p[0].result, p[1].result);
    CHECK(passed || p[0].result == FL_BARRIER_BROKEN);
    if (passed) {
        CHECK_EQUAL(p[0].index + p[1].index, 1);
        CHECK_EQUAL(current->acted, current->acts);
    }
    return passed;
}

static void
test_t33_b2_all_agree(void)
{
    dispute *disputes = calloc(DISPUTES, sizeof *disputes);
    CHECK(disputes != NULL);
    for (int i = 0; i < DISPUTES; i++) {
        disputes[i].trouble = (trouble)(i % KINDS);
        disputes[i].acts = i / KINDS % 2;
        disputes[i].start.count = disputes[i].end.count = 3;
        fl_barrier_init(&disputes[i].barrier, 2);
    }
    disputer disputers[2] = {{disputes, 0, 331}, {disputes, 1, 332}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        threads[i] = start_thread(dispute_all, &disputers[i]);
    }
    uint64_t random = 333;
    for (int i = 0; i < DISPUTES; i++) {
        make_trouble(&disputes[i], &random);
    }
    int passed = 0;
    for (int i = 0; i < 2; i++) {
        join_thread(threads[i]);
    }
    for (int i = 0; i < DISPUTES; i++) {
        passed += check_agreement(&disputes[i]);
        check_empty(&disputes[i].barrier, fl_barrier_is_broken(&disputes[i].barrier));
    }
    CHECK(passed > 0 && passed < DISPUTES); /* it did come to a race */
    free(disputes);
}

/* ---- two are the last ---- */

enum { CONTESTS = 4000 };

typedef struct {
    fl_barrier barrier;
    gate start; /* of the two */
    fl_atomic_u64 passed;
} contest;

static void *
be_the_last(void *arg)
{
    contest *contests = arg;
    for (int i = 0; i < CONTESTS; i++) {
        contest *current = &contests[i];
        party me = {.barrier = &current->barrier};
        while (fl_barrier_waiting(&current->barrier) == 0 && fl_load_relaxed_u64(&current->passed) == 0) {
            sched_yield();
        }
        pass_gate(&current->start);
        (void)arrive(&me);
        if (me.result == FL_BARRIER_PASSED) {
            CHECK_EQUAL(me.index, 1);
            CHECK_EQUAL(fl_add_relaxed_u64(&current->passed, 1), 0); /* the other one is too late, and waits */
            wait_until_parked(&current->barrier, 1);
            fl_barrier_reset(&current->barrier);
        }
        else {
            CHECK_EQUAL(me.result, FL_BARRIER_BROKEN);
        }
    }
    return NULL;
}

/* Both find that one is lacking, and one of them is right. */
static void
test_b2_only_one_is_the_last(void)
{
    contest *contests = calloc(CONTESTS, sizeof *contests);
    CHECK(contests != NULL);
    for (int i = 0; i < CONTESTS; i++) {
        fl_barrier_init(&contests[i].barrier, 2);
        contests[i].start.count = 2;
    }
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        threads[i] = start_thread(be_the_last, contests);
    }
    for (int i = 0; i < CONTESTS; i++) {
        uint64_t index;
        CHECK_EQUAL(arrive_here(&contests[i].barrier, &index), FL_BARRIER_PASSED);
        CHECK_EQUAL(index, 0);
    }
    for (int i = 0; i < 2; i++) {
        join_thread(threads[i]);
    }
    free(contests);
}

/* ---- everything at once ---- */

enum { THREADS = 6, PARTIES = 3, STEPS = 1200 };

typedef struct {
    fl_barrier barrier;
    bool gives_up, acts;
    fl_atomic_u64 passed[PARTIES]; /* by index */
    fl_atomic_u64 ends[FL_BARRIER_REENTERED];
    fl_atomic_u64 seeds, busy;
    flag over;
} chaos;

typedef struct {
    chaos *chaos;
    uint64_t random;
} rioter;

static bool
poll_in_chaos(void *ctx, int polls)
{
    rioter *self = ctx;
    (void)polls;
    return !self->chaos->gives_up || random_below(&self->random, 6) != 0;
}

static bool
act_in_chaos(void *ctx)
{
    rioter *self = ctx;
    uint64_t index;
    int64_t what = random_below(&self->random, 16);
    spin_ns(random_below(&self->random, 10 * 1000));
    if (what == 0) {
        fl_barrier_result result = arrive_here(&self->chaos->barrier, &index);
        CHECK(result == FL_BARRIER_REENTERED || result == FL_BARRIER_BROKEN || result == FL_BARRIER_PASSED);
        if (result == FL_BARRIER_PASSED) {
            (void)fl_add_relaxed_u64(&self->chaos->passed[index], 1); /* reset meanwhile: in another generation */
        }
    }
    else if (what == 1) {
        fl_barrier_reset(&self->chaos->barrier);
    }
    return what != 2;
}

static void *
riot(void *arg)
{
    chaos *self = arg;
    rioter me = {.chaos = self, .random = fl_add_relaxed_u64(&self->seeds, 1) + 1};
    for (int i = 0; i < STEPS; i++) {
        fake_blocker blocker = make_fake_blocker(true, poll_in_chaos, &me);
        party party = {.barrier = &self->barrier, .action = {.run = self->acts ? act_in_chaos : NULL, .ctx = &me}};
        party.blocker = random_below(&me.random, 3) ? &blocker : NULL;
        party.timeout_ns = random_below(&me.random, 3) ? 0 : 1 + random_below(&me.random, 300 * 1000);
        (void)arrive(&party);
        CHECK(party.result < FL_BARRIER_REENTERED);
        (void)fl_add_relaxed_u64(&self->ends[party.result], 1);
        if (party.result == FL_BARRIER_PASSED) {
            CHECK(party.index < PARTIES);
            (void)fl_add_relaxed_u64(&self->passed[party.index], 1);
        }
        else if (party.result == FL_BARRIER_BROKEN && random_below(&me.random, 2)) {
            fl_barrier_reset(&self->barrier);
        }
        CHECK(fl_barrier_waiting(&self->barrier) <= PARTIES);
    }
    (void)fl_add_relaxed_u64(&self->busy, UINT64_MAX);
    await_flag(&self->over, 1); /* a target for signals until then */
    return NULL;
}

static void
disturb(chaos *self, pthread_t *threads)
{
    uint64_t random = 33;
    while (fl_load_relaxed_u64(&self->busy)) {
        for (int i = 0; i < THREADS; i++) {
            CHECK_EQUAL(pthread_kill(threads[i], SIGUSR1), 0);
        }
        pause_briefly();
        switch (random_below(&random, 8)) {
            case 0:
                fl_barrier_abort(&self->barrier);
                break;
            case 1:
                fl_barrier_reset(&self->barrier);
                break;
            default:
                if (fl_load_relaxed_u64(&self->busy) < PARTIES || fl_barrier_is_broken(&self->barrier)) {
                    fl_barrier_reset(&self->barrier); /* those who are left are too few */
                }
        }
    }
}

static void
run_chaos(chaos *self)
{
    pthread_t threads[THREADS];
    party p[PARTIES];
    fl_barrier_init(&self->barrier, PARTIES);
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(riot, self);
    }
    disturb(self, threads);
    raise_flag(&self->over, 1);
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK(self->ends[FL_BARRIER_PASSED] > 0 && self->ends[FL_BARRIER_BROKEN] > 0);
    fl_barrier_reset(&self->barrier);
    check_empty(&self->barrier, false);
    start_parties(p, PARTIES - 1, &self->barrier); /* and it works */
    complete(&self->barrier);
    join_parties(p, PARTIES - 1, FL_BARRIER_PASSED);
}

/* Each generation that is passed deals each index once. */
static void
test_t33_as_many_of_each_index(void)
{
    for (int acts = 0; acts < 2; acts++) {
        chaos self = {.busy = THREADS, .acts = acts};
        run_chaos(&self);
        for (int i = 1; i < PARTIES; i++) {
            CHECK_EQUAL(self.passed[i], self.passed[0]);
        }
    }
}

/* Here some do not say that they have passed, but the one that acted does. */
static void
test_t33_b1_waits_are_given_up(void)
{
    chaos self = {.busy = THREADS, .acts = true, .gives_up = true};
    run_chaos(&self);
    CHECK(self.ends[FL_BARRIER_GIVEN_UP] > 0);
    for (int i = 0; i < PARTIES - 1; i++) {
        CHECK(self.passed[i] <= self.passed[PARTIES - 1]);
    }
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t33_b3_indices_are_unique);
    RUN(test_breaking_releases_and_finding_it_broken_acquires);
    RUN(test_t33_b2_all_agree);
    RUN(test_b2_only_one_is_the_last);
    RUN(test_t33_as_many_of_each_index);
    RUN(test_t33_b1_waits_are_given_up);
    return 0;
}
