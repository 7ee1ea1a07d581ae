;; A component with one function for each way a guest can end.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "double") (param i32) (result i32) local.get 0 i32.const 2 i32.mul)
    (func (export "spin") (loop br 0))
    (func (export "hoard") (loop (memory.grow (i32.const 1)) i32.const -1 i32.ne br_if 0) unreachable))
  (core instance $i (instantiate $m))
  (func (export "double") (param "n" u32) (result u32) (canon lift (core func $i "double")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "hoard") (canon lift (core func $i "hoard"))))
