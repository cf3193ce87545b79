/* Probes: places in the code where a tracer of the system (bpftrace, perf, gdb) can listen.
 *
 * They are USDT probes of <sys/sdt.h>, of the provider `pyfastlock`: a nop, and a note in the ELF file that says where
 * it lies and where its arguments are.  Each has a semaphore, a counter that is not 0 while somebody listens.  So a
 * probe that nobody listens to costs one load, and its arguments are not computed.  Where the header is missing at
 * build time there are no probes.  docs/probes.md lists them; csrc/core/probes.h has the calls. */

#ifndef FL_PROBE_H
#define FL_PROBE_H

#include "platform/compiler.h"

/* Other systems have a header of that name, which works in another way. */
#if defined(__linux__) && defined(__has_include)
#if __has_include(<sys/sdt.h>)
#define FL_HAS_PROBES 1
#endif
#endif

#ifdef FL_HAS_PROBES

#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

#define FL_PROBE_SEMAPHORE(name) pyfastlock_##name##_semaphore

extern volatile unsigned short FL_PROBE_SEMAPHORE(wait__start);
extern volatile unsigned short FL_PROBE_SEMAPHORE(wait__done);
extern volatile unsigned short FL_PROBE_SEMAPHORE(notify);
extern volatile unsigned short FL_PROBE_SEMAPHORE(deadlock__found);

/* Whether anybody listens to the probe. */
#define FL_PROBE_IS_ON(name) FL_UNLIKELY(FL_PROBE_SEMAPHORE(name) != 0)

/* Tells those who listen. */
#define FL_PROBE_2(name, a, b) STAP_PROBE2(pyfastlock, name, a, b)
#define FL_PROBE_3(name, a, b, c) STAP_PROBE3(pyfastlock, name, a, b, c)
#define FL_PROBE_5(name, a, b, c, d, e) STAP_PROBE5(pyfastlock, name, a, b, c, d, e)

#else

#define FL_HAS_PROBES 0
#define FL_PROBE_IS_ON(name) 0
#define FL_PROBE_2(name, a, b) ((void)(a), (void)(b))
#define FL_PROBE_3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define FL_PROBE_5(name, a, b, c, d, e) ((void)(a), (void)(b), (void)(c), (void)(d), (void)(e))

#endif

#endif
