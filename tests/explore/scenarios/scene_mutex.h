/* One mutex and a section that it guards, for the scenarios of mutexes. */

#ifndef EX_SCENE_MUTEX_H
#define EX_SCENE_MUTEX_H

#include "scene.h"

extern fl_mutex mutex;
extern scene_section section;

/* What holds of the mutex at every step, at rest and at the end. */
void mutex_check(void);
void mutex_at_rest(void);
void mutex_at_end(void);

#define MUTEX_CHECKS .check = mutex_check, .at_rest = mutex_at_rest, .at_end = mutex_at_end

#endif
