/* park/futex.c on a kernel that lacks the call with wide times, which 32-bit systems have since Linux 5.1: the narrow
 * one takes its place.  The process forbids itself the call. */

#include "check.h"

#if defined(__linux__)

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "park/park.h"

#if !defined(SYS_futex_time64)
#define SYS_futex_time64 422 /* the number is the same on all 32-bit systems; on 64-bit ones nothing has it */
#endif

/* Returns whether it could be done: an emulator may not. */
static bool
forbid_wide_times(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_time64, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof steps / sizeof *steps, .filter = steps};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

static fl_parker parker;

static void *
wake_it(void *arg)
{
    (void)arg;
    fl_parker_wake(&parker);
    return NULL;
}

static void
test_sleeps_and_wake_ups(void)
{
    CHECK_EQUAL(fl_parker_init(&parker), 0);
    fl_parker_reset(&parker);
    int64_t begin_ns = fl_clock_now_ns();
    int64_t deadline_ns = fl_deadline_after_ns(20 * NS_PER_MS);
    CHECK_EQUAL(fl_parker_sleep(&parker, deadline_ns, false), FL_SLEEP_TIMED_OUT);
    CHECK(fl_clock_now_ns() - begin_ns >= 20 * NS_PER_MS);
    for (int i = 0; i < 100; i++) {
        fl_parker_reset(&parker);
        pthread_t waker = start_thread(wake_it, NULL);
        int64_t far_ns = fl_deadline_after_ns(INT64_C(3600) * 1000 * NS_PER_MS);
        CHECK_EQUAL(fl_parker_sleep(&parker, i % 2 ? far_ns : FL_DEADLINE_NEVER, false), FL_SLEEP_WOKEN);
        join_thread(waker);
    }
    fl_parker_destroy(&parker);
}

int
main(void)
{
    if (!forbid_wide_times()) {
        puts("SKIPPED: calls cannot be forbidden here");
        return 0;
    }
    CHECK(syscall(SYS_futex_time64, NULL, 0, 0, NULL, NULL, 0) == -1 && errno == ENOSYS);
    RUN(test_sleeps_and_wake_ups);
    return 0;
}

#else

int
main(void)
{
    puts("SKIPPED: futexes are Linux's");
    return 0;
}

#endif
