/* The slices in which an interruptible thread sleeps (park/park.h).  For the two parkers only. */

#ifndef FL_SLICE_H
#define FL_SLICE_H

#include "park/park.h"
#include "platform/clock.h"

/* Short beside a human's patience with Ctrl-C, and long beside the few microseconds that a look for signals costs. */
enum { FL_SLICE_FIRST_NS = 1000 * 1000 };

/* The next slice is as short as the first one. */
static inline void
fl_slice_begin_anew(fl_parker *parker)
{
    parker->slice_ns = FL_SLICE_FIRST_NS;
}

/* When the next sleep ends: with its slice if it is interruptible, and not after `deadline_ns`.  Doubles the parker's
 * slice up to `longest_ns`. */
static inline int64_t
fl_slice_next_end_ns(fl_parker *parker, int64_t deadline_ns, bool interruptible, uint32_t longest_ns)
{
    if (!interruptible) {
        return deadline_ns;
    }
    int64_t slice_end_ns = fl_deadline_after_ns(parker->slice_ns);
    parker->slice_ns = parker->slice_ns < longest_ns / 2 ? 2 * parker->slice_ns : longest_ns;
    return slice_end_ns < deadline_ns ? slice_end_ns : deadline_ns;
}

#endif
