#include "platform/attached.h"

bool (*fl_attached_check)(void);
