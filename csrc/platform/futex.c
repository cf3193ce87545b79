#include "platform/futex.h"

#if defined(__linux__)

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/fatal.h"

/* As in <linux/futex.h>, which does not come with every C library.  A bit set is needed for an absolute deadline, which
 * is one of the monotonic clock if FUTEX_CLOCK_REALTIME is not set. */
enum { FUTEX_WAKE = 1, FUTEX_WAIT_BITSET = 9, FUTEX_PRIVATE_FLAG = 128, NS_PER_SECOND = 1000 * 1000 * 1000 };
static const uint32_t EACH_BIT = UINT32_MAX;

/* The kernel's own types for times.  The C library's may have another width, which its user may choose. */
#if defined(__x86_64__)
typedef int64_t kernel_long; /* also where a long has 32 bits: x32 */
#else
typedef long kernel_long;
#endif

typedef struct {
    kernel_long sec, nsec;
} kernel_time;

typedef struct {
    int64_t sec, nsec;
} kernel_time64;

/* The later ones are some decades after the start of the system. */
static kernel_time
narrow(kernel_time64 time)
{
    const int64_t most = sizeof(kernel_long) == 4 ? INT32_MAX : INT64_MAX;
    return (kernel_time){(kernel_long)(time.sec < most ? time.sec : most), (kernel_long)time.nsec};
}

/* As syscall() does: -1 and errno where it fails.  64-bit systems have the one call.  32-bit ones have the wide times
 * since Linux 5.1, and may lack the narrow ones. */
static long
futex(fl_atomic_u32 *word, int operation, uint32_t value, int64_t deadline_ns)
{
    bool is_timed = deadline_ns != FL_DEADLINE_NEVER;
    kernel_time64 wide = {deadline_ns / NS_PER_SECOND, deadline_ns % NS_PER_SECOND};
    operation |= FUTEX_PRIVATE_FLAG;
#if defined(SYS_futex_time64)
    long result = syscall(SYS_futex_time64, word, operation, value, is_timed ? &wide : NULL, NULL, EACH_BIT);
    if (result >= 0 || errno != ENOSYS) {
        return result;
    }
#endif
    kernel_time time = narrow(wide);
    return syscall(SYS_futex, word, operation, value, is_timed ? &time : NULL, NULL, EACH_BIT);
}

int
fl_futex_wait(fl_atomic_u32 *word, uint32_t value, int64_t deadline_ns)
{
    int saved_errno = errno;
    int error = futex(word, FUTEX_WAIT_BITSET, value, deadline_ns) < 0 ? errno : 0;
    if (error && error != EAGAIN && error != EINTR && error != ETIMEDOUT) {
        fl_fatal("futex(FUTEX_WAIT_BITSET)", error);
    }
    errno = saved_errno;
    return error;
}

void
fl_futex_wake_one(fl_atomic_u32 *word)
{
    int saved_errno = errno;
    /* It fails only where the memory has another use by now, such as that of a mutex with priority inheritance. */
    (void)futex(word, FUTEX_WAKE, 1, FL_DEADLINE_NEVER);
    errno = saved_errno;
}

#endif
