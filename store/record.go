package store

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/cookies"
)

// record is a session as it is saved.
type record struct {
	Format  string `json:"format"`  // always recordFormat
	Version int    `json:"version"` // of the format

	// Login is a random name of the login. Another login has another name, also of the same user.
	Login string `json:"login"`

	// Counter grows with each save of the login, and Refreshes with each of its refreshes.
	Counter   uint64 `json:"counter"`
	Refreshes uint64 `json:"refreshes"`

	User     json.RawMessage `json:"user,omitempty"`
	Token    *oauth2.Token   `json:"token,omitempty"`
	Extra    map[string]any  `json:"extra,omitempty"` // of the token
	Obtained time.Time       `json:"obtained"`        // when the token was set

	// Cookies are those of the client of WithCookies, as they were when the token was set.
	Cookies []cookies.Saved `json:"cookies,omitempty"`

	// Spending is the intent to spend the token's refresh token. It is written before the token is
	// sent, and removed when the outcome is known.
	Spending *intent `json:"spending,omitempty"`
}

// intent says that a refresh token may have been sent.
type intent struct {
	// ID is a random name of the attempt. Two attempts of one process may have the same time, where
	// the clock is coarse.
	ID    string    `json:"id"`
	Since time.Time `json:"since"`

	// Holder names the process, for people who look at the record.
	Holder string `json:"holder"`
}

// is reports whether both are the intent of one attempt to refresh. A nil intent is none.
func (i *intent) is(other *intent) bool {
	return i != nil && other != nil && i.ID == other.ID
}

const (
	recordFormat  = "axle-session"
	recordVersion = 1
)

// keptExtra are the members of a token response, beyond those that every token has, that are saved.
// A Token does not list its other members.
var keptExtra = []string{"id_token", "scope"}

// decodeRecord reads a record. It returns nil for nil data, and an error that matches ErrForeign
// for any data that is no whole record of this version. The error does not quote the data.
func decodeRecord(data []byte) (*record, error) {
	if data == nil {
		return nil, nil
	}

	var r record
	decoder := json.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&r); {
	case err != nil:
		return nil, fmt.Errorf("%w: it is not the JSON of a session", ErrForeign)
	case r.Format != recordFormat:
		return nil, fmt.Errorf("%w: it is not marked as a session of axle", ErrForeign)
	case r.Version != recordVersion:
		return nil, fmt.Errorf("%w: it has the version %d of the format, and this is %d",
			ErrForeign, r.Version, recordVersion)
	case r.Login == "" || r.Counter == 0:
		return nil, fmt.Errorf("%w: it has no login", ErrForeign)
	case decoder.More():
		return nil, fmt.Errorf("%w: something follows the session", ErrForeign)
	}

	if r.Token != nil && len(r.Extra) > 0 {
		r.Token = r.Token.WithExtra(r.Extra)
	}
	return &r, nil
}

// encode writes the record.
func (r *record) encode() ([]byte, error) {
	r.Format, r.Version, r.Extra = recordFormat, recordVersion, nil
	for _, name := range keptExtra {
		if value := extraOf(r.Token, name); value != nil {
			if r.Extra == nil {
				r.Extra = map[string]any{}
			}
			r.Extra[name] = value
		}
	}

	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%w: the session cannot be encoded: %w", ErrStorage, err)
	}
	return append(data, '\n'), nil
}

// extraOf returns a member of the token's response, or nil. A token that was read from a form has
// an empty string for a member that is missing.
func extraOf(token *oauth2.Token, name string) any {
	if token == nil || token.Extra(name) == "" {
		return nil
	}
	return token.Extra(name)
}

// newLoginID returns a random name for a login.
func newLoginID() string { return rand.Text() }

// decodeUser reads the user of a record, which may be nil.
func decodeUser[U any](r *record) (*U, error) {
	if r == nil || len(r.User) == 0 {
		return nil, nil
	}
	user := new(U)
	if err := contained(func() error { return json.Unmarshal(r.User, user) }); err != nil {
		return nil, fmt.Errorf("%w: %w: the saved user is no %T", ErrStorage, ErrForeign, *user)
	}
	return user, nil
}

func encodeUser[U any](user *U) (json.RawMessage, error) {
	if user == nil {
		return nil, nil
	}
	var data []byte
	err := contained(func() (err error) { data, err = json.Marshal(user); return err })
	if err != nil {
		return nil, fmt.Errorf("%w: the user cannot be encoded: %w", ErrStorage, err)
	}
	return data, nil
}
