#include "core/barrier.h"

#include <stddef.h>

#include "core/lot/parking_lot.h"
#include "core/lot/spin.h"
#include "core/thread.h"
#include "platform/clock.h"

/* ---- the word ---- */

typedef enum { FILLING, ACTING, BROKEN, OPENED } barrier_phase;

enum { COUNT_SHIFT = 2, GENERATION_SHIFT = 34 };

#define PHASE_MASK ((UINT64_C(1) << COUNT_SHIFT) - 1)
#define COUNT_ONE (UINT64_C(1) << COUNT_SHIFT)
#define GENERATION_ONE (UINT64_C(1) << GENERATION_SHIFT)

_Static_assert(OPENED <= PHASE_MASK, "a phase fits below the count");
_Static_assert(UINT64_C(1) * FL_BARRIER_MAX < GENERATION_ONE / COUNT_ONE, "a count fits below the generation");
_Static_assert(offsetof(fl_barrier, word) == 0, "the key of a barrier is the address of its word");

static inline barrier_phase
phase_of(uint64_t word)
{
    return (barrier_phase)(word & PHASE_MASK);
}

static inline uint64_t
count_of(uint64_t word)
{
    return (word & (GENERATION_ONE - 1)) >> COUNT_SHIFT;
}

static inline uint64_t
generation_of(uint64_t word)
{
    return word >> GENERATION_SHIFT;
}

/* The word of an opened barrier, which has no generation. */
static inline uint64_t
opened(uint64_t word)
{
    uint64_t count = word & (GENERATION_ONE - 1) & ~PHASE_MASK;
    return (phase_of(word) == BROKEN ? GENERATION_ONE : 0) | count | OPENED;
}

/* The word of a new generation, of which nobody has arrived. */
static inline uint64_t
next_generation(uint64_t word, barrier_phase phase)
{
    return ((generation_of(word) + 1) << GENERATION_SHIFT) | phase;
}

static inline uint64_t
load(fl_barrier *barrier)
{
    return fl_load_acquire_u64(&barrier->word);
}

static inline void
store(fl_barrier *barrier, uint64_t word)
{
    fl_store_release_u64(&barrier->word, word);
}

static inline bool
lacks_one(const fl_barrier *barrier, uint64_t word)
{
    return phase_of(word) == FILLING && count_of(word) + 1 == barrier->parties;
}

void
fl_barrier_init(fl_barrier *barrier, uint64_t parties)
{
    store(barrier, FILLING);
    barrier->parties = parties;
    barrier->actor = 0;
}

bool
fl_barrier_is_opened(fl_barrier *barrier)
{
    return phase_of(load(barrier)) == OPENED;
}

bool
fl_barrier_is_broken(fl_barrier *barrier)
{
    uint64_t word = load(barrier);
    return phase_of(word) == BROKEN || (phase_of(word) == OPENED && generation_of(word) != 0);
}

uint64_t
fl_barrier_waiting(fl_barrier *barrier)
{
    return count_of(load(barrier));
}

/* ---- sending away who waits (B2) ---- */

typedef struct {
    fl_barrier *barrier;
    bool (*may)(const fl_barrier *barrier, uint64_t word, uint64_t generation);
    uint64_t generation; /* for may() */
    barrier_phase phase; /* of the next generation */
    bool go_on;          /* what those who wait are told */
    bool sent;
    uint32_t dealt;
} sending;

static size_t
begin_sending(void *arg)
{
    sending *ctx = arg;
    uint64_t word = load(ctx->barrier);
    ctx->sent = ctx->may(ctx->barrier, word, ctx->generation);
    if (!ctx->sent) {
        return 0;
    }
    store(ctx->barrier, ctx->phase == OPENED ? opened(word) : next_generation(word, ctx->phase));
    return SIZE_MAX;
}

static void
send(void *arg, fl_waiter *waiter)
{
    sending *ctx = arg;
    if (waiter->on_leave) { /* not a guest */
        waiter->handed_off = ctx->go_on;
        waiter->notified = ctx->phase == OPENED; /* B9 */
        waiter->place = ctx->dealt++;            /* B3 */
    }
}

static void
end_sending(void *arg, bool left)
{
    (void)arg;
    (void)left;
}

/* Begins a new generation, if `may` says so.  Returns what it said. */
static bool
send_away(sending ctx)
{
    static const fl_unpark_ops ops = {.begin = begin_sending, .take = send, .end = end_sending};
    (void)fl_lot_unpark_many(ctx.barrier, &ops, &ctx);
    return ctx.sent;
}

static bool
unless_opened(const fl_barrier *barrier, uint64_t word, uint64_t generation)
{
    (void)barrier;
    (void)generation;
    return phase_of(word) != OPENED;
}

bool
fl_barrier_abort(fl_barrier *barrier)
{
    return send_away((sending){.barrier = barrier, .may = unless_opened, .phase = BROKEN});
}

bool
fl_barrier_reset(fl_barrier *barrier)
{
    return send_away((sending){.barrier = barrier, .may = unless_opened, .phase = FILLING});
}

/* ---- the last to arrive ---- */

static bool
if_complete(const fl_barrier *barrier, uint64_t word, uint64_t generation)
{
    (void)generation;
    return lacks_one(barrier, word);
}

/* Lets all go on, without an action.  False where another thread is lacking after all. */
static bool
pass(fl_barrier *barrier)
{
    return send_away((sending){.barrier = barrier, .may = if_complete, .phase = FILLING, .go_on = true});
}

/* B5 */
static bool
if_still_acting(const fl_barrier *barrier, uint64_t word, uint64_t generation)
{
    return phase_of(word) == ACTING && generation_of(word) == generation && barrier->actor == fl_thread_self();
}

static fl_barrier_result
act(fl_barrier *barrier, fl_barrier_action action, uint64_t generation)
{
    bool good = action.run(action.ctx);
    bool sent = send_away((sending){
        .barrier = barrier,
        .may = if_still_acting,
        .generation = generation,
        .phase = good ? FILLING : BROKEN,
        .go_on = good,
    });
    if (!good) {
        return FL_BARRIER_GIVEN_UP;
    }
    return sent ? FL_BARRIER_PASSED : FL_BARRIER_BROKEN;
}

/* ---- an action that will not end (B7) ---- */

/* Under the bucket's mutex. */
static bool
is_abandoned(const fl_barrier *barrier, uint64_t word)
{
    return phase_of(word) == ACTING && fl_thread_is_left_behind(barrier->actor);
}

static bool
if_abandoned(const fl_barrier *barrier, uint64_t word, uint64_t generation)
{
    (void)generation;
    return is_abandoned(barrier, word);
}

static void
break_if_abandoned(fl_barrier *barrier)
{
    if (phase_of(load(barrier)) == ACTING) {
        (void)send_away((sending){.barrier = barrier, .may = if_abandoned, .phase = BROKEN});
    }
}

/* ---- opening ---- */

/* B9 */
static bool
unless_acting(const fl_barrier *barrier, uint64_t word, uint64_t generation)
{
    return unless_opened(barrier, word, generation) && phase_of(word) != ACTING;
}

bool
fl_barrier_open(fl_barrier *barrier)
{
    break_if_abandoned(barrier); /* B7: it would be refused for ever */
    return send_away((sending){.barrier = barrier, .may = unless_acting, .phase = OPENED}) ||
           fl_barrier_is_opened(barrier);
}

/* ---- looking for it while one waits ---- */

/* The caller's blocker, with one thing added: after each poll() it looks whether the action is still there.  The waiter
 * that breaks the barrier then takes itself out with the others. */
typedef struct {
    fl_blocker base;
    fl_blocker *runtime;
    fl_barrier *barrier;
} watchful_blocker;

static bool
poll_and_look(fl_blocker *base)
{
    watchful_blocker *self = (watchful_blocker *)base;
    self->runtime->timed = base->timed;
    bool goes_on = self->runtime->poll(self->runtime);
    if (goes_on) {
        break_if_abandoned(self->barrier);
    }
    return goes_on;
}

static void
detach(fl_blocker *base)
{
    fl_blocker *runtime = ((watchful_blocker *)base)->runtime;
    fl_blocker_detach(runtime);
}

static void
attach(fl_blocker *base)
{
    fl_blocker *runtime = ((watchful_blocker *)base)->runtime;
    fl_blocker_attach(runtime);
}

static watchful_blocker
watchful(fl_blocker *runtime, fl_barrier *barrier)
{
    return (watchful_blocker){
        .base = {.poll = poll_and_look, .detach = detach, .attach = attach, .interruptible = runtime->interruptible},
        .runtime = runtime,
        .barrier = barrier,
    };
}

/* ---- arriving ---- */

typedef enum { NOT_YET, ARRIVED, IS_LAST, IS_GUEST, IS_ACTOR, FOUND_ABANDONED, FOUND_BROKEN, FOUND_OPENED } arrival;

typedef struct {
    fl_barrier *barrier;
    fl_waiter *waiter;
    fl_blocker *blocker; /* or NULL */
    int64_t timeout_ns;
    bool acts;       /* the last one has an action to run */
    arrival allowed; /* as what it may wait (B8): ARRIVED, IS_GUEST, or neither yet */
    arrival arrival; /* what arrive() came to */
    uint64_t generation;
} arrive_ctx;

static fl_leave_fn leave;

static arrival
arrival_at(const fl_barrier *barrier, uint64_t word)
{
    if (phase_of(word) == BROKEN) {
        return FOUND_BROKEN;
    }
    if (phase_of(word) == OPENED) {
        return FOUND_OPENED;
    }
    if (is_abandoned(barrier, word)) {
        return FOUND_ABANDONED;
    }
    if (phase_of(word) == ACTING) {
        return barrier->actor == fl_thread_self() ? IS_ACTOR : IS_GUEST;
    }
    return lacks_one(barrier, word) ? IS_LAST : ARRIVED;
}

static inline bool
waits(arrival arrival)
{
    return arrival == ARRIVED || arrival == IS_GUEST;
}

/* For fl_lot_enqueue.  True queues the thread. */
static bool
arrive(void *arg)
{
    arrive_ctx *ctx = arg;
    uint64_t word = load(ctx->barrier);
    ctx->generation = generation_of(word);
    ctx->arrival = arrival_at(ctx->barrier, word);
    if (waits(ctx->arrival) && ctx->arrival != ctx->allowed) {
        return false;
    }
    ctx->waiter->on_leave = ctx->arrival == ARRIVED ? leave : NULL;
    if (ctx->arrival == ARRIVED) {
        store(ctx->barrier, word + COUNT_ONE);
    }
    else if (ctx->arrival == IS_LAST && ctx->acts) {
        ctx->barrier->actor = fl_thread_self();
        store(ctx->barrier, (word | ACTING) + COUNT_ONE);
    }
    return waits(ctx->arrival);
}

/* fl_leave_fn: B1, B4 */
static fl_leave
leave(fl_waiter *waiter, bool timed_out)
{
    fl_barrier *barrier = (fl_barrier *)waiter->key;
    uint64_t word = load(barrier);
    if (!timed_out) {
        store(barrier, word - COUNT_ONE);
        return FL_LEAVES;
    }
    if (phase_of(word) == ACTING && !is_abandoned(barrier, word)) {
        return FL_STAYS;
    }
    store(barrier, next_generation(word, BROKEN));
    return FL_LEAVES_WITH_ALL;
}

/* Asks poll() whether the thread may wait as `wish`.  A thread that arrives without time does not wait, so it does not
 * ask. */
static bool
may_wait(arrive_ctx *ctx, arrival wish)
{
    ctx->allowed = wish;
    fl_blocker_set_timed(ctx->blocker, wish == ARRIVED && ctx->timeout_ns != FL_DEADLINE_NEVER);
    return (wish == ARRIVED && ctx->timeout_ns <= 0) || fl_blocker_poll(ctx->blocker);
}

/* Waits until the thread, which is queued and counted, is sent away. */
static fl_barrier_result
wait_for_all(arrive_ctx *ctx, uint64_t *index)
{
    fl_wait_result result = fl_lot_sleep(ctx->waiter, fl_deadline_after_ns(ctx->timeout_ns), ctx->blocker);
    *index = ctx->waiter->place;
    if (ctx->waiter->notified) {
        return result == FL_WAIT_GIVEN_UP ? FL_BARRIER_MOVED_GIVEN_UP : FL_BARRIER_MOVED;
    }
    switch (result) {
        case FL_WAIT_UNPARKED:
            return ctx->waiter->handed_off ? FL_BARRIER_PASSED : FL_BARRIER_BROKEN;
        case FL_WAIT_TIMED_OUT:
            return FL_BARRIER_BROKEN;
        case FL_WAIT_INTERRUPTED: /* never: it keeps its place */
        case FL_WAIT_DEADLOCKED:  /* never: anybody may come */
        case FL_WAIT_GIVEN_UP:
            break;
    }
    return FL_BARRIER_GIVEN_UP;
}

static fl_barrier_result
wait_as(arrive_ctx *ctx, fl_barrier_action action, uint64_t *index)
{
    fl_barrier *barrier = ctx->barrier;
    uint64_t word = load(barrier);
    bool seems_to_wait = phase_of(word) == FILLING && !lacks_one(barrier, word); /* the usual case; saves an attempt */
    if (seems_to_wait && !may_wait(ctx, ARRIVED)) {
        return FL_BARRIER_GIVEN_UP;
    }
    for (;;) {
        if (!fl_lot_enqueue(ctx->waiter, barrier, arrive, ctx) && waits(ctx->arrival)) {
            if (!may_wait(ctx, ctx->arrival)) {
                return FL_BARRIER_GIVEN_UP;
            }
            continue;
        }
        switch (ctx->arrival) {
            case ARRIVED:
                return wait_for_all(ctx, index);
            case IS_LAST:
                if (action.run) {
                    return act(barrier, action, ctx->generation);
                }
                if (pass(barrier)) {
                    return FL_BARRIER_PASSED;
                }
                break; /* somebody has left in between, or arrived */
            case IS_GUEST:
                if (fl_lot_sleep(ctx->waiter, FL_DEADLINE_NEVER, ctx->blocker) == FL_WAIT_GIVEN_UP) {
                    return FL_BARRIER_GIVEN_UP;
                }
                break;
            case IS_ACTOR:
                return FL_BARRIER_REENTERED;
            case FOUND_ABANDONED:
                break_if_abandoned(barrier);
                break; /* broken, unless it has been reset in between */
            case FOUND_OPENED:
                return FL_BARRIER_OPENED;
            case FOUND_BROKEN:
            case NOT_YET: /* never */
                return FL_BARRIER_BROKEN;
        }
    }
}

fl_barrier_result
fl_barrier_wait(fl_barrier *barrier, int64_t timeout_ns, fl_barrier_action action, uint64_t *index, fl_blocker *blocker)
{
    *index = barrier->parties - 1; /* the last one's */
    if (action.run == NULL && lacks_one(barrier, load(barrier)) && pass(barrier)) {
        return FL_BARRIER_PASSED;
    }
    fl_waiter storage;
    fl_waiter *waiter = fl_waiter_begin(&storage, blocker);
    if (waiter == NULL) {
        return FL_BARRIER_NO_MEMORY;
    }
    waiter->is_patient = !fl_spin_fits(barrier->parties);
    waiter->is_woken_with_all = true; /* B2; and it keeps its place: B6 */
    waiter->kind = FL_FOR_BARRIER;
    waiter->deadline_ns = fl_deadline_after_ns(timeout_ns);
    watchful_blocker watching;
    arrive_ctx ctx = {.barrier = barrier, .waiter = waiter, .timeout_ns = timeout_ns, .acts = action.run != NULL};
    if (blocker) {
        watching = watchful(blocker, barrier);
        ctx.blocker = &watching.base;
    }
    fl_barrier_result result = wait_as(&ctx, action, index);
    fl_waiter_end(waiter, &storage);
    return result;
}
