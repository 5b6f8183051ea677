/* What the loops hold once. */

#include "common.h"

int jsnas_form = FORM, jsnas_widest = WIDEST;
