#include "core/lot/back_off.h"

#include "core/lot/bucket.h"
#include "core/lot/spin.h"

FL_THREAD_LOCAL const void *fl_back_off_last;

void
fl_back_off_remember(const void *lock)
{
    if (!fl_spin_has_exclusive_runtime()) {
        fl_back_off_last = lock;
    }
}

/* How long the lock is left alone for the i-th time in one wait, from 0. */
static int64_t
length_ns(int i)
{
    return FL_BACK_OFF_NS << i;
}

/* Asked last: whether it is due, because to ask counts. */
static bool
is_worth_while(fl_spin_history *history, int64_t deadline_ns)
{
    return fl_spin_is_possible() && !fl_spin_is_near(deadline_ns, length_ns(FL_BACK_OFF_TIMES)) &&
           fl_spin_is_due(history);
}

bool
fl_back_off_slow(const void *lock, int64_t deadline_ns, fl_blocker *blocker, bool (*is_decided)(void *ctx), void *ctx)
{
    fl_spin_history *history = &fl_bucket_of(lock)->back_offs;
    if (!is_worth_while(history, deadline_ns)) {
        return false;
    }
    for (int i = 0; i < FL_BACK_OFF_TIMES; i++) {
        fl_blocker_detach(blocker);
        bool was_left_alone = fl_spin_for_ns(length_ns(i));
        fl_blocker_attach(blocker);
        bool decided = is_decided(ctx);
        if (!was_left_alone) {
            return decided; /* enough threads spin: there is nothing to learn from it */
        }
        if (decided) {
            fl_spin_learn(history, true);
            return true;
        }
    }
    fl_spin_learn(history, false);
    return false;
}
