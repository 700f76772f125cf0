package future_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/axlehttp/axle/future"
)

func Example() {
	ctx := context.Background()
	n := future.Go(func() (int, error) { return strconv.Atoi("41") })
	s := future.Then(n, func(n int) (string, error) { return fmt.Sprint("the answer is ", n+1), nil })
	fmt.Println(s.Await(ctx))
	// Output: the answer is 42 <nil>
}

func ExampleGo_panic() {
	f := future.Go(func() (int, error) { panic("spilled tea") })
	_, err := f.Await(context.Background())
	fmt.Println(err)

	if p, ok := errors.AsType[*future.PanicError](err); ok {
		fmt.Println(p.Value)
	}
	// Output:
	// future: panic: spilled tea
	// spilled tea
}

func ExampleWithResolvers() {
	f, resolve, reject := future.WithResolvers[string]()
	resolve("first")
	reject(errors.New("too late"))
	fmt.Println(f.Await(context.Background()))
	// Output: first <nil>
}

func ExampleFuture_Catch() {
	f := future.Rejected[int](errors.New("no luck")).
		Catch(func(err error) (int, error) { fmt.Println("recovered from:", err); return 7, nil }).
		Finally(func() { fmt.Println("done") })
	fmt.Println(f.Await(context.Background()))
	// Output:
	// recovered from: no luck
	// done
	// 7 <nil>
}

func ExampleAll() {
	vs, err := future.All(future.Resolved("a"), future.Resolved("b")).Await(context.Background())
	fmt.Println(vs, err)
	// Output: [a b] <nil>
}

func ExampleAllSettled() {
	outcomes, _ := future.AllSettled(future.Resolved(1), future.Rejected[int](errors.New("no luck"))).Await(context.Background())
	for _, o := range outcomes {
		fmt.Println(o.Value, o.Err)
	}
	// Output:
	// 1 <nil>
	// 0 no luck
}

func ExampleAny() {
	mirrors := future.Any(future.Rejected[string](errors.New("down")), future.Resolved("mirror 2"))
	fmt.Println(mirrors.Await(context.Background()))
	// Output: mirror 2 <nil>
}

func ExampleRace() {
	slow, _, _ := future.WithResolvers[string]()
	fmt.Println(future.Race(slow, future.Resolved("quick")).Await(context.Background()))
	// Output: quick <nil>
}

func ExampleShared() {
	var refresh future.Shared[string]
	gate := make(chan struct{})
	fn := func() (string, error) { <-gate; return "new token", nil }

	first, joined := refresh.Join(fn)
	fmt.Println("joined:", joined)
	second, joined := refresh.Join(fn)
	fmt.Println("joined:", joined, "the same:", first == second)

	close(gate)
	fmt.Println(second.Await(context.Background()))
	fmt.Println("idle:", refresh.InFlight() == nil)
	// Output:
	// joined: false
	// joined: true the same: true
	// new token <nil>
	// idle: true
}
