(module (memory (export "memory") 272))  ;; 17 MiB: what a C toolchain declares unless told otherwise
