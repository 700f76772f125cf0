//go:build js

package browser_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestCORS_AHeaderOfAnotherOriginIsSeenIfItIsExposed(t *testing.T) {
	c := axle.New()
	own, err := c.Get(t.Context(), pageOrigin(t)+"/api/echo/exposed")
	require.NoError(t, err)
	assert.Equal(t, "1", own.Header.Get("X-Exposed"))
	assert.Equal(t, "1", own.Header.Get("X-Hidden"))

	other, err := c.Get(t.Context(), otherOrigin(t)+"/api/echo/exposed")
	require.NoError(t, err)
	assert.Equal(t, "1", other.Header.Get("X-Exposed"))
	assert.Empty(t, other.Header.Get("X-Hidden"))
}

func TestCORS_AnOriginThatDoesNotAllowThePageIsANetworkError(t *testing.T) {
	_, err := axle.New().Get(t.Context(), otherOrigin(t)+"/api/echo/disallowed?nocors")
	require.ErrorIs(t, err, axle.CodeNetwork)

	_, err = axle.New().Get(t.Context(), pageOrigin(t)+"/api/echo/disallowed?nocors")
	require.NoError(t, err)
}
