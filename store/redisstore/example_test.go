package redisstore_test

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/redisstore"
)

type account struct{ Name string }

// All processes that open the same key share one session: each login, refresh and logout.
func ExampleNew() {
	database := redis.NewClient(&redis.Options{Addr: "redis.internal:6379"})
	defer database.Close()

	open := func(ctx context.Context, refresh store.RefreshFunc) (*axle.Client, error) {
		session, err := store.Open[account](ctx, refresh, redisstore.New(database, "session:ada"))
		if err != nil {
			return nil, err
		}
		return axle.New().SetBaseURL("https://api.example.com").Use(auth.New(session)), nil
	}
	fmt.Println(open != nil)
	// Output: true
}
