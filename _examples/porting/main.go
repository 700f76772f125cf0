// Porting shows the reference code of a frontend, line by line, beside its Go.
//
//	go run ./_examples/porting
//
// The first half is a literal translation: each line of JavaScript is a comment above the Go that does
// its work. It runs, and it has the faults of the original, which further comments name. The second
// half does the same work with three lines of axle, without these faults.
//
// R1 to R4 are the numbers of faults in docs/auth.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// User is the person who is logged in.
type User struct{ Name string }

func main() {
	for _, port := range []struct {
		name    string
		install func(client *axle.Client)
	}{
		{"the reference, line by line", installReference},
		{"the same, by axle", installAxle},
	} {
		if err := run(port.name, port.install); err != nil {
			fmt.Fprintln(os.Stderr, "porting:", err)
			os.Exit(1)
		}
	}
}

// installReference translates the axios.interceptors.response.use(…) of the frontend's user store.
func installReference(axios *axle.Client) {
	var user atomic.Pointer[User]
	user.Store(&User{Name: "ada"})

	// let refreshPromise = null;
	var refreshPromise future.Shared[any]

	// originalRequest._retry
	retry := axle.NewKey[bool]("_retry")

	// refreshToken: async () => {
	refreshToken := func() (any, error) {
		//   if (get().checkingAuth) return;
		//
		// Shared.Join does this, and gives every caller the same result.

		//   const response = await axios.post('/auth/refresh-token');
		//
		// Fault R2: a 401 of this call would wait for itself for ever.
		response, err := axios.Post(context.Background(), "/auth/refresh-token", nil)

		//   } catch (error) { set({ user: null, checkingAuth: false }); throw error; }
		if err != nil {
			user.Store(nil)
			return nil, err
		}

		//   return response.data;
		return response.String(), nil
	}

	// axios.interceptors.response.use(
	axios.Interceptors.Response.Use(
		//   (response) => response,
		nil,
		//   async (error) => {
		func(ctx context.Context, err *axle.Error) (*axle.Response, error) {
			//     const originalRequest = error.config;
			originalRequest := err.Request

			//     if (error.response?.status === 401 && !originalRequest._retry) {
			if again, _ := retry.Get(originalRequest); err.StatusCode() == http.StatusUnauthorized && !again {
				//       originalRequest._retry = true;
				retry.Set(originalRequest, true)

				//       if (!refreshPromise) refreshPromise = useUserStore.getState().refreshToken();
				//       refreshPromise = null;
				//
				// Shared empties its slot by itself, also when the refresh fails (R3, R4).
				promise, _ := refreshPromise.Join(refreshToken)

				//       await refreshPromise;
				if _, refreshErr := promise.Await(ctx); refreshErr != nil {
					//       } catch (refreshError) { useUserStore.getState().logout();
					user.Store(nil)
					//         return Promise.reject(refreshError);
					return nil, refreshErr
				}

				//       return axios(originalRequest);
				//
				// Later handlers run twice, as in axios. With originalRequest.Replay() they would run once.
				return axios.Do(originalRequest)
			}

			// Fault R1: the reference has no such line, so every other error became a success with undefined.
			return nil, err
		},
	)
}

// installAxle does the work of installReference with axle's own session.
func installAxle(client *axle.Client) {
	session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))

	// The tokens are cookies, as in the reference, so there is no token to pass.
	session.Login(User{Name: "ada"}, nil)
	client.Use(auth.New(session))
}

// run sends one call on a dead cookie and a call that fails for another reason.
func run(name string, install func(*axle.Client)) error {
	var refreshes atomic.Int64
	server := httptest.NewServer(api(&refreshes))
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)
	install(client)

	fmt.Println(name)
	resp, err := client.Get(context.Background(), "/me")
	if err != nil {
		return err
	}
	fmt.Printf("  GET /me      %s %s, after %d refresh\n", resp.Status, resp.String(), refreshes.Load())

	_, err = client.Get(context.Background(), "/broken")
	var failed *axle.Error
	if !errors.As(err, &failed) || failed.StatusCode() != http.StatusInternalServerError {
		return fmt.Errorf("GET /broken: want its 500, got %w", err)
	}
	fmt.Printf("  GET /broken  %s\n\n", failed.Response.Status)

	if n := refreshes.Load(); n != 1 {
		return fmt.Errorf("%d refreshes", n)
	}
	return nil
}

// api is a server that keeps its tokens in cookies.
func api(refreshes *atomic.Int64) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/refresh-token", func(w http.ResponseWriter, _ *http.Request) {
		refreshes.Add(1)
		http.SetCookie(w, &http.Cookie{
			Name: "access", Value: "good", Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("access"); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprint(w, `{"name":"ada"}`)
	})
	mux.HandleFunc("GET /broken", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	})
	return mux
}
