/* core/event.h: many threads on one event. */

#include <sys/mman.h>

#include "check.h"
#include "core/thread.h"
#include "event_helpers.h"

/* ---- memory ordering: ThreadSanitizer looks at the plain variables ---- */

typedef struct {
    fl_event event;
    int written[2]; /* not atomic: the event guards it */
    bool waits;     /* the reader blocks, or it looks */
    fl_atomic_u64 sets;
} message;

static void *
read_message(void *arg)
{
    message *self = arg;
    if (self->waits) {
        CHECK_EQUAL(fl_event_wait(&self->event, FL_DEADLINE_NEVER, NULL), FL_EVENT_WAS_SET);
    }
    while (!fl_event_is_set(&self->event)) {
        CHECK(!self->waits);
        sched_yield();
    }
    CHECK_EQUAL(self->written[0], 1);
    return NULL;
}

static void
test_setting_releases_and_finding_it_set_acquires(void)
{
    for (int round = 0; round < 300; round++) {
        message self = {.event = {FL_EVENT_CLEAR}, .waits = round % 2};
        fl_store_relaxed_u32(&self.event.word, round % 3 ? FL_EVENT_CLEAR : FL_EVENT_PARKED); /* and by the slow path */
        pthread_t thread = start_thread(read_message, &self);
        if (round % 4 == 1) {
            wait_until_parked(&self.event, 1);
        }
        self.written[0] = 1;
        fl_event_set(&self.event);
        join_thread(thread);
    }
}

typedef struct {
    message *message;
    int which;
} writer;

static void *
write_message(void *arg)
{
    writer *self = arg;
    self->message->written[self->which] = 1;
    fl_event_set(&self->message->event);
    (void)fl_add_relaxed_u64(&self->message->sets, 1);
    return NULL;
}

/* Both have set it, one of them when it was set already: who clears it sees what both have written. */
static void
test_setting_again_releases_and_clearing_acquires(void)
{
    for (int round = 0; round < 300; round++) {
        message self = {.event = {FL_EVENT_CLEAR}, .sets = 0};
        writer writers[2] = {{&self, 0}, {&self, 1}};
        pthread_t threads[2];
        for (int i = 0; i < 2; i++) {
            threads[i] = start_thread(write_message, &writers[i]);
        }
        while (fl_load_relaxed_u64(&self.sets) < 2) { /* relaxed: it orders nothing */
            sched_yield();
        }
        fl_event_clear(&self.event);
        CHECK_EQUAL(self.written[0] + self.written[1], 2);
        join_thread(threads[0]);
        join_thread(threads[1]);
    }
}

/* ---- who finds it set may free it ---- */

typedef struct {
    fl_event *event; /* alone on its page */
    bool waits;
    flag ready;
} lifetime;

static size_t
page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void *
use_up_event(void *arg)
{
    lifetime *self = arg;
    raise_flag(&self->ready, 1);
    if (self->waits) {
        CHECK_EQUAL(fl_event_wait(self->event, FL_DEADLINE_NEVER, NULL), FL_EVENT_WAS_SET);
    }
    else {
        while (!fl_event_is_set(self->event)) {
            sched_yield();
        }
    }
    CHECK_EQUAL(munmap(self->event, page_size()), 0);
    return NULL;
}

static void
test_event_is_unmapped_by_who_finds_it_set(void)
{
    for (int round = 0; round < 300; round++) {
        void *page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(page != MAP_FAILED);
        lifetime self = {.event = page, .waits = round % 3};
        fl_event_init(self.event);
        if (round % 2) {
            fl_store_relaxed_u32(&self.event->word, FL_EVENT_PARKED); /* the slow path, with nobody to wake */
        }
        pthread_t thread = start_thread(use_up_event, &self);
        await_flag(&self.ready, 1);
        if (round % 3 == 2) {
            wait_until_parked(page, 1);
        }
        fl_event_set(self.event);
        join_thread(thread);
    }
}

/* ---- no waiter that was queued is missed ---- */

enum { PATIENT = 4, IMPATIENT = 4, PULSES = 80 };

typedef struct pulse_scene pulse_scene;

typedef struct {
    pulse_scene *scene;
    uint64_t random;
    fl_atomic_u64 serial; /* of its thread, from before it is queued first */
    pthread_t thread;
} participant;

struct pulse_scene {
    fl_event event;
    participant patient[PATIENT], impatient[IMPATIENT];
    fl_atomic_u64 ends[FL_EVENT_NO_MEMORY]; /* of the impatient, by result */
    fl_atomic_u64 at_it;                    /* impatient threads that have not ended */
    flag pulses;                            /* that are over */
    flag over;
};

static bool
give_up_sometimes(void *ctx, int polls)
{
    return polls == 1 || random_below(ctx, 6) != 0;
}

static void *
wait_impatiently(void *arg)
{
    participant *self = arg;
    pulse_scene *scene = self->scene;
    while (fl_load_acquire_u32(&scene->over) == 0) {
        fake_blocker blocker = make_fake_blocker(true, give_up_sometimes, &self->random);
        int64_t deadline_ns = fl_deadline_after_ns(random_below(&self->random, 3 * NS_PER_MS));
        fl_event_result result = fl_event_wait(&scene->event, deadline_ns, &blocker.base);
        CHECK(result < FL_EVENT_NO_MEMORY);
        (void)fl_add_relaxed_u64(&scene->ends[result], 1);
    }
    (void)fl_add_relaxed_u64(&scene->at_it, UINT64_MAX);
    await_flag(&scene->over, 2); /* a target for signals until then */
    return NULL;
}

/* Waits once for each pulse. */
static void *
wait_patiently(void *arg)
{
    participant *self = arg;
    fl_store_relaxed_u64(&self->serial, fl_thread_register());
    for (uint32_t i = 0; i < PULSES; i++) {
        await_flag(&self->scene->pulses, i);
        CHECK_EQUAL(fl_event_wait(&self->scene->event, FL_DEADLINE_NEVER, NULL), FL_EVENT_WAS_SET);
    }
    return NULL;
}

static void
interrupt_impatient(pulse_scene *scene)
{
    for (int i = 0; i < IMPATIENT; i++) {
        CHECK_EQUAL(pthread_kill(scene->impatient[i].thread, SIGUSR1), 0);
    }
}

typedef struct {
    pulse_scene *scene;
    int queued;
} census;

static void
count_patient(void *ctx, const fl_waiter *waiter)
{
    census *self = ctx;
    for (int i = 0; i < PATIENT; i++) {
        self->queued += waiter->thread == fl_load_relaxed_u64(&self->scene->patient[i].serial);
    }
}

static void
await_patient(pulse_scene *scene)
{
    census found;
    do {
        sched_yield();
        found = (census){.scene = scene};
        (void)fl_lot_walk(&scene->event, count_patient, &found);
    } while (found.queued < PATIENT);
}

/* Each patient thread waits once for each pulse, which comes when all of them are queued: one that is missed would wait
 * for ever in the end. */
static void
test_t31_e2_no_queued_waiter_is_missed(void)
{
    static pulse_scene scene = {.event = {FL_EVENT_CLEAR}};
    uint64_t random = 31;
    fl_store_relaxed_u64(&scene.at_it, IMPATIENT);
    for (int i = 0; i < IMPATIENT; i++) {
        scene.impatient[i] = (participant){.scene = &scene, .random = next_random(&random)};
        scene.impatient[i].thread = start_thread(wait_impatiently, &scene.impatient[i]);
    }
    for (int i = 0; i < PATIENT; i++) {
        scene.patient[i] = (participant){.scene = &scene};
    }
    for (int i = 0; i < PATIENT; i++) {
        scene.patient[i].thread = start_thread(wait_patiently, &scene.patient[i]);
    }
    wait_until_parked(&scene.event, 1);
    for (uint32_t pulse = 1; pulse <= PULSES; pulse++) {
        await_patient(&scene);
        if (pulse % 2) {
            interrupt_impatient(&scene);
            spin_ns(random_below(&random, 50 * 1000));
        }
        fl_event_set(&scene.event);
        fl_event_clear(&scene.event);
        raise_flag(&scene.pulses, pulse);
    }
    for (int i = 0; i < PATIENT; i++) {
        join_thread(scene.patient[i].thread);
    }
    raise_flag(&scene.over, 1);
    while (fl_load_relaxed_u64(&scene.at_it)) {
        interrupt_impatient(&scene);
        pause_briefly();
    }
    raise_flag(&scene.over, 2);
    for (int i = 0; i < IMPATIENT; i++) {
        join_thread(scene.impatient[i].thread);
    }
    CHECK(scene.ends[FL_EVENT_WAS_SET] > 0);
    check_nobody(&scene.event);
}

/* ---- everything at once ---- */

enum { THREADS = 6, STEPS = 4000 };

typedef struct {
    fl_event event;
    gate start;
    fl_atomic_u64 seeds;
    fl_atomic_u64 busy; /* threads that have steps left */
} storm;

static void *
do_anything(void *arg)
{
    storm *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    pass_gate(&self->start);
    for (int i = 0; i < STEPS; i++) {
        int64_t deadline_ns;
        switch (random_below(&random, 8)) {
            case 0:
            case 1:
            case 2:
                fl_event_set(&self->event);
                break;
            case 3:
            case 4:
                fl_event_clear(&self->event);
                break;
            case 5:
                (void)fl_event_is_set(&self->event);
                break;
            default:
                deadline_ns = fl_deadline_after_ns(random_below(&random, 20 * 1000));
                CHECK(fl_event_wait(&self->event, deadline_ns, NULL) <= FL_EVENT_TIMED_OUT);
        }
        CHECK(word_of(&self->event) <= FL_EVENT_PARKED);
    }
    (void)fl_add_relaxed_u64(&self->busy, UINT64_MAX);
    /* Some are queued when it is set for good, others come later. */
    CHECK_EQUAL(fl_event_wait(&self->event, FL_DEADLINE_NEVER, NULL), FL_EVENT_WAS_SET);
    return NULL;
}

static void
test_e3_many_threads_set_clear_look_and_wait(void)
{
    storm self = {.event = {FL_EVENT_CLEAR}, .start = {.count = THREADS}, .busy = THREADS};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(do_anything, &self);
    }
    while (fl_load_relaxed_u64(&self.busy)) {
        pause_briefly();
    }
    fl_event_set(&self.event);
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK(fl_event_is_set(&self.event));
    check_nobody(&self.event);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_setting_releases_and_finding_it_set_acquires);
    RUN(test_setting_again_releases_and_clearing_acquires);
    RUN(test_event_is_unmapped_by_who_finds_it_set);
    RUN(test_t31_e2_no_queued_waiter_is_missed);
    RUN(test_e3_many_threads_set_clear_look_and_wait);
    return 0;
}
