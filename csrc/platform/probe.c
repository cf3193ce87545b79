#include "platform/probe.h"

#if FL_HAS_PROBES

/* Tracers look for them in this section. */
#define SEMAPHORE(name) volatile unsigned short FL_PROBE_SEMAPHORE(name) __attribute__((section(".probes")))

SEMAPHORE(wait__start);
SEMAPHORE(wait__done);
SEMAPHORE(notify);
SEMAPHORE(deadlock__found);

#endif
