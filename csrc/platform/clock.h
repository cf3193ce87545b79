/* Deadlines: absolute times in nanoseconds on the monotonic clock.
 *
 * A wait computes its deadline once and keeps it however often it is interrupted.  A jump of the wall clock does not
 * change it. */

#ifndef FL_CLOCK_H
#define FL_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The deadline of a wait without a timeout. */
#define FL_DEADLINE_NEVER INT64_MAX

/* A deadline that has passed, for waits with a timeout of 0 or less. */
#define FL_DEADLINE_PASSED INT64_C(0)

/* The monotonic clock, in nanoseconds.  Never fails. */
int64_t fl_clock_now_ns(void);

/* The deadline `timeout_ns` from now.  FL_DEADLINE_PASSED for a timeout of 0 or less; FL_DEADLINE_NEVER for
 * FL_DEADLINE_NEVER, and where the sum is too large to be counted. */
int64_t fl_deadline_after_ns(int64_t timeout_ns);

/* `deadline_ns` in the form that the system's calls take: the largest time_t where it is later than that.  Not for
 * FL_DEADLINE_NEVER. */
struct timespec fl_deadline_timespec(int64_t deadline_ns);

#endif
