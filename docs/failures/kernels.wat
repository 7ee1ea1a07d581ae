(module
  (memory (export "memory") 1)
  (func $count (export "count") (param $times i32)
    (loop $again
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $again (local.get $times))))
  (func $spin (export "spin")
    (loop $forever (br $forever)))
  ;; As most allocators do: no memory is a bug of the caller's.
  (func $reserve (param $pages i32)
    (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable)))
  (func $load-image (export "load-image") (param $pages i32)
    (call $reserve (local.get $pages))))
