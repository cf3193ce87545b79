/* core/sema.h: many threads on one semaphore.  Permits are counted, and none may be lost or invented. */

#include <sys/mman.h>

#include "check.h"
#include "core/sema.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

static void
acquire(fl_sema *sema)
{
    if (!fl_sema_try_acquire(sema)) {
        CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, sema, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    }
}

/* ---- memory ordering: ThreadSanitizer looks at the plain variables ---- */

enum { SLOTS = 4, ITEMS = 3000 };

typedef struct {
    fl_sema free, full;
    int slots[SLOTS];
} ring;

static void *
fill_ring(void *arg)
{
    ring *self = arg;
    for (int i = 0; i < ITEMS; i++) {
        acquire(&self->free);
        self->slots[i % SLOTS] = i;
        if (i % 500 == 0) {
            spin_ns(2 * FL_FAIR_NS); /* the other one is handed the next permit */
        }
        CHECK(fl_sema_release(&self->full, 1, SLOTS));
    }
    return NULL;
}

static void
test_permits_carry_what_was_written(void)
{
    ring self;
    fl_sema_init(&self.free, SLOTS);
    fl_sema_init(&self.full, 0);
    pthread_t thread = start_thread(fill_ring, &self);
    for (int i = 0; i < ITEMS; i++) {
        acquire(&self.full);
        CHECK_EQUAL(self.slots[i % SLOTS], i);
        self.slots[i % SLOTS] = -1;
        CHECK(fl_sema_release(&self.free, 1, SLOTS));
    }
    join_thread(thread);
    CHECK_EQUAL(fl_sema_permits(&self.free), SLOTS);
    CHECK_EQUAL(fl_sema_permits(&self.full), 0);
}

/* By each path of a release, to a thread that takes no part in the queue. */
typedef struct {
    fl_sema sema;
    int written; /* not atomic: the permit guards it */
} message;

static void *
read_message(void *arg)
{
    message *self = arg;
    while (!fl_sema_try_acquire(&self->sema)) {
        sched_yield();
    }
    CHECK_EQUAL(self->written, 1);
    return NULL;
}

static void
test_each_release_releases(void)
{
    for (int round = 0; round < 150; round++) {
        message self = {.sema = {round % 3 == 0 ? FL_SEMA_PARKED : 0}};
        pthread_t thread = start_thread(read_message, &self);
        self.written = 1;
        if (round % 3 == 1) {
            CHECK(fl_sema_release_slow(&self.sema, 1, 1)); /* finds PARKED clear */
        }
        else {
            CHECK(fl_sema_release(&self.sema, 1, 1));
        }
        join_thread(thread);
    }
}

/* ---- who takes the last permit may free it ---- */

static size_t
page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

typedef struct {
    fl_sema *sema; /* alone on its page */
    uint64_t permits;
    bool waits;
    flag ready;
} lifetime;

static void *
use_up(void *arg)
{
    lifetime *self = arg;
    raise_flag(&self->ready, 1);
    for (uint64_t i = 0; i < self->permits; i++) {
        if (self->waits) {
            acquire(self->sema);
        }
        while (!self->waits && !fl_sema_try_acquire(self->sema)) {
            sched_yield();
        }
    }
    CHECK_EQUAL(munmap(self->sema, page_size()), 0);
    return NULL;
}

static void
test_semaphore_is_unmapped_after_the_last_permit(void)
{
    for (int round = 0; round < 400; round++) {
        void *page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(page != MAP_FAILED);
        lifetime self = {.sema = page, .permits = 1 + (uint64_t)round % 3, .waits = round % 4 > 0};
        fl_sema_init(self.sema, 0);
        if (round % 2) {
            fl_store_relaxed_u64(&self.sema->word, FL_SEMA_PARKED); /* the slow path, with nobody to wake */
        }
        pthread_t thread = start_thread(use_up, &self);
        await_flag(&self.ready, 1);
        if (round % 4 == 2) {
            wait_until_parked(page, 1);
        }
        if (round % 16 == 2) {
            spin_ns(FL_FAIR_NS); /* it is handed the permit */
        }
        CHECK(fl_sema_release(self.sema, self.permits, FL_SEMA_MAX));
        join_thread(thread);
    }
}

/* ---- conservation ---- */

enum { THREADS = 6, PERMITS = 3, STEPS = 1500 };

typedef struct {
    fl_sema sema;
    fl_atomic_u64 inside; /* permits that are held */
    fl_atomic_u64 ends[FL_LOCK_OVERFLOW];
    fl_atomic_u64 seeds, busy;
    uint64_t bound;
    flag over;
} market;

static bool
give_up_sometimes(void *ctx, int polls)
{
    (void)polls;
    return random_below(ctx, 8) != 0;
}

static fl_lock_result
acquire_somehow(market *self, uint64_t *random)
{
    fake_blocker blocker = make_fake_blocker(true, give_up_sometimes, random);
    int64_t deadline_ns = fl_deadline_after_ns(random_below(random, 200 * 1000));
    switch (random_below(random, 4)) {
        case 0:
            return fl_sema_try_acquire(&self->sema) ? FL_LOCK_ACQUIRED : FL_LOCK_BUSY;
        case 1:
            return fl_lock_wait(&fl_sema_ops, &self->sema, deadline_ns, NULL);
        case 2:
            return fl_lock_wait(&fl_sema_ops, &self->sema, deadline_ns, &blocker.base);
        default:
            return fl_lock_wait(&fl_sema_ops, &self->sema, FL_DEADLINE_NEVER, &blocker.base);
    }
}

/* One permit, or two if a second one is free, for a while. */
static void
hold_permits(market *self, uint64_t *random)
{
    uint64_t held = 1;
    CHECK(fl_add_relaxed_u64(&self->inside, 1) < PERMITS);
    if (random_below(random, 4) == 0 && fl_sema_try_acquire(&self->sema)) {
        CHECK(fl_add_relaxed_u64(&self->inside, 1) < PERMITS);
        held = 2;
    }
    CHECK(fl_sema_permits(&self->sema) < PERMITS);
    int64_t kind = random_below(random, 200);
    spin_ns(kind == 0 ? FL_FAIR_NS : kind * 50);
    (void)fl_add_relaxed_u64(&self->inside, UINT64_MAX - held + 1);
    CHECK(fl_sema_release(&self->sema, held, self->bound));
}

static bool
has_seen(market *self, fl_lock_result result)
{
    return fl_load_relaxed_u64(&self->ends[result]) > 0;
}

static void *
trade(void *arg)
{
    market *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    for (int i = 0; i < STEPS || !has_seen(self, FL_LOCK_ACQUIRED); i++) {
        fl_lock_result result = acquire_somehow(self, &random);
        CHECK(result <= FL_LOCK_GIVEN_UP);
        (void)fl_add_relaxed_u64(&self->ends[result], 1);
        if (result == FL_LOCK_ACQUIRED) {
            hold_permits(self, &random);
        }
    }
    (void)fl_add_relaxed_u64(&self->busy, UINT64_MAX);
    await_flag(&self->over, 1); /* a target for signals until then */
    return NULL;
}

/* Whoever holds a permit gives it back: where one is lost, they run out of them and stop, and there would be more than
 * PERMITS where one is invented.  At first there is none, until some have timed out and some have given up. */
static void
test_t32_s4_no_permit_is_lost_or_invented(void)
{
    for (int bounded = 0; bounded < 2; bounded++) {
        market self = {.busy = THREADS, .bound = bounded ? PERMITS : FL_SEMA_MAX};
        pthread_t threads[THREADS];
        bool opened = false;
        fl_sema_init(&self.sema, 0);
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start_thread(trade, &self);
        }
        while (fl_load_relaxed_u64(&self.busy)) {
            for (int i = 0; i < THREADS; i++) {
                CHECK_EQUAL(pthread_kill(threads[i], SIGUSR1), 0);
            }
            CHECK(fl_sema_permits(&self.sema) <= PERMITS);
            if (!opened && has_seen(&self, FL_LOCK_TIMED_OUT) && has_seen(&self, FL_LOCK_GIVEN_UP)) {
                opened = fl_sema_release(&self.sema, PERMITS, self.bound);
            }
            pause_briefly();
        }
        raise_flag(&self.over, 1);
        for (int i = 0; i < THREADS; i++) {
            join_thread(threads[i]);
        }
        CHECK_EQUAL(fl_sema_permits(&self.sema), PERMITS);
        check_nobody(&self.sema);
        CHECK(opened);
    }
}

/* ---- nobody sleeps beside a free permit ---- */

/* Those who wait have no timeout and no signal; some barge.  The end comes when each has had its share. */
static void *
take_turns(void *arg)
{
    market *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    for (int i = 0; i < 10 * STEPS; i++) {
        uint64_t held = 1;
        acquire(&self->sema);
        while (held < PERMITS && random_below(&random, 2) && fl_sema_try_acquire(&self->sema)) {
            held++;
        }
        if (random_below(&random, 64) == 0) {
            sched_yield();
        }
        CHECK(fl_sema_release(&self->sema, held, PERMITS));
    }
    return NULL;
}

static void
test_s4_nobody_sleeps_beside_a_free_permit(void)
{
    market self = {.over = 0};
    pthread_t threads[THREADS];
    fl_sema_init(&self.sema, PERMITS);
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(take_turns, &self);
    }
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(fl_sema_permits(&self.sema), PERMITS);
    check_nobody(&self.sema);
}

/* ---- barging during a release ---- */

enum { QUEUED = 1000, RAIDS = 8, PLENTY = 1000 * 1000 };

typedef struct {
    fl_sema sema;
    flag over;
    uint64_t taken;
} raid;

static void *
barge(void *arg)
{
    raid *self = arg;
    while (fl_load_acquire_u32(&self->over) == 0) {
        self->taken += fl_sema_try_acquire(&self->sema);
    }
    return NULL;
}

/* S3: between the look at the word and the store the number falls. */
static void
run_raid(void)
{
    raid self = {.taken = 0};
    fl_waiter *w = calloc(QUEUED, sizeof *w);
    CHECK(w != NULL);
    fl_sema_init(&self.sema, 0);
    for (int i = 0; i < QUEUED; i++) {
        CHECK_EQUAL(fl_waiter_init(&w[i], false), 0);
        w[i].since_ns = INT64_MAX / 2; /* not long enough for a hand-off */
        CHECK(fl_lock_enqueue(&fl_sema_ops, &self.sema, &w[i]));
    }
    (void)fl_add_relaxed_u64(&self.sema.word, PLENTY * FL_SEMA_ONE); /* there is always one to take */
    pthread_t thread = start_thread(barge, &self);
    for (int i = 0; i < QUEUED; i++) {
        CHECK(fl_sema_release(&self.sema, 1, FL_SEMA_MAX));
        expect_unparked(&w[i]);
    }
    raise_flag(&self.over, 1);
    join_thread(thread);
    CHECK_EQUAL(fl_sema_permits(&self.sema) + self.taken, PLENTY + QUEUED);
    free(w);
}

static void
test_s3_permits_are_taken_during_releases(void)
{
    for (int i = 0; i < RAIDS; i++) {
        run_raid();
    }
}

/* ---- the bound ---- */

typedef struct {
    fl_sema sema;
    gate start;
    fl_atomic_u64 seeds;
    fl_atomic_u64 added, taken;
} bounded;

/* Releases what it may not: the semaphore has to refuse where there would be too many. */
static void *
release_and_acquire_blindly(void *arg)
{
    bounded *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    pass_gate(&self->start);
    for (int i = 0; i < 2 * STEPS; i++) {
        uint64_t count = 1 + (uint64_t)random_below(&random, PERMITS);
        if (random_below(&random, 2)) {
            if (fl_sema_release(&self->sema, count, PERMITS)) {
                (void)fl_add_relaxed_u64(&self->added, count);
            }
        }
        else {
            int64_t deadline_ns = fl_deadline_after_ns(random_below(&random, 10 * 1000));
            if (fl_lock_wait(&fl_sema_ops, &self->sema, deadline_ns, NULL) == FL_LOCK_ACQUIRED) {
                (void)fl_add_relaxed_u64(&self->taken, 1);
            }
        }
        CHECK(fl_sema_permits(&self->sema) <= PERMITS);
    }
    return NULL;
}

static void
test_t32_s5_bound_under_contention(void)
{
    bounded self = {.start = {.count = THREADS}};
    pthread_t threads[THREADS];
    fl_sema_init(&self.sema, 0);
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(release_and_acquire_blindly, &self);
    }
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(self.added - self.taken, fl_sema_permits(&self.sema));
    check_nobody(&self.sema);
}

/* ---- releases that race for the bound ---- */

enum { RIVALS = 3, RUSHES = 2000 };

typedef struct {
    fl_sema sema;
    gate start;
    fl_atomic_u64 succeeded;
} rush;

typedef struct {
    rush *rushes;
    bool slow; /* as if it had found PARKED set, which is clear when it has the mutex */
    pthread_t thread;
} rival;

static void *
release_once_each(void *arg)
{
    rival *self = arg;
    for (int i = 0; i < RUSHES; i++) {
        rush *current = &self->rushes[i];
        pass_gate(&current->start);
        bool succeeded = self->slow ? fl_sema_release_slow(&current->sema, 1, RIVALS - 1)
                                    : fl_sema_release(&current->sema, 1, RIVALS - 1);
        (void)fl_add_relaxed_u64(&current->succeeded, succeeded);
    }
    return NULL;
}

/* As many succeed as there is room for. */
static void
test_t32_s5_releases_that_race_for_the_bound(void)
{
    rush *rushes = calloc(RUSHES, sizeof *rushes);
    CHECK(rushes != NULL);
    for (int i = 0; i < RUSHES; i++) {
        rushes[i].start.count = RIVALS;
        fl_sema_init(&rushes[i].sema, (uint64_t)i % 2);
        if (i % 8 == 0) {
            rushes[i].sema.word |= FL_SEMA_PARKED;
        }
    }
    rival rivals[RIVALS];
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = (rival){.rushes = rushes, .slow = i % 2};
        rivals[i].thread = start_thread(release_once_each, &rivals[i]);
    }
    for (int i = 0; i < RIVALS; i++) {
        join_thread(rivals[i].thread);
    }
    for (int i = 0; i < RUSHES; i++) {
        CHECK_EQUAL(rushes[i].succeeded, RIVALS - 1 - i % 2);
        CHECK_EQUAL(fl_sema_permits(&rushes[i].sema), RIVALS - 1);
    }
    free(rushes);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_permits_carry_what_was_written);
    RUN(test_each_release_releases);
    RUN(test_semaphore_is_unmapped_after_the_last_permit);
    RUN(test_t32_s4_no_permit_is_lost_or_invented);
    RUN(test_s4_nobody_sleeps_beside_a_free_permit);
    RUN(test_s3_permits_are_taken_during_releases);
    RUN(test_t32_s5_bound_under_contention);
    RUN(test_t32_s5_releases_that_race_for_the_bound);
    return 0;
}
