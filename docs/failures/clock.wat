(component
  (import "read-clock" (func $read-clock (result u32)))
  (core func $lowered (canon lower (func $read-clock)))
  (core module $m
    (import "host" "read-clock" (func $read-clock (result i32)))
    (func (export "uptime") (result i32) (call $read-clock)))
  (core instance $i (instantiate $m (with "host" (instance (export "read-clock" (func $lowered))))))
  (func (export "uptime") (result u32) (canon lift (core func $i "uptime"))))
