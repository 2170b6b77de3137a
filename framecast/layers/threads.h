// The number of this thread in a parallel loop; 0 without OpenMP.

#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

inline int thread() {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}
