#include "core/lot/give_way.h"

#include "core/lot/bucket.h"
#include "core/lot/spin.h"
#include "platform/clock.h"

/* A look at the clock takes as long as a short section: one in as many calls makes one. */
enum { CALLS = 8 };

void
fl_give_way_begin(const void *key)
{
    if (fl_spin_has_exclusive_runtime()) {
        fl_store_relaxed_u64(&fl_bucket_of(key)->designated_ns, (uint64_t)fl_clock_now_ns());
    }
}

bool
fl_give_way_is_due(const void *key)
{
    static FL_THREAD_LOCAL uint32_t calls;
    if (!fl_spin_has_exclusive_runtime() || calls++ % CALLS != 0) {
        return false;
    }
    uint64_t designated_ns = fl_load_relaxed_u64(&fl_bucket_of(key)->designated_ns);
    return fl_clock_now_ns() - (int64_t)designated_ns >= FL_GIVE_WAY_NS;
}
