package redact_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/redact"
)

func TestURL_HidesUserinfoFragmentAndSecretParameters(t *testing.T) {
	for in, want := range map[string]string{
		"https://api.test/a?page=2":                                       "https://api.test/a?page=2",
		"https://api.test/a?access_token=s3cret&b=1":                      "https://api.test/a?access_token=REDACTED&b=1",
		"https://api.test/a?b=1;token=s3cret":                             "https://api.test/a?b=1;token=REDACTED",
		"https://api.test/a?acc%65ss_token=s3cret":                        "https://api.test/a?acc%65ss_token=REDACTED",
		"https://me:s3cret@api.test/":                                     "https://REDACTED@api.test/",
		"https://api.test/#access_token=s3cret":                           "https://api.test/",
		"https://api.test/?next=https%3A%2F%2Fb.test%2F%3Ftoken%3Ds3cret": "https://api.test/?next=https%3A%2F%2Fb.test%2F%3Ftoken%3DREDACTED",
		"https://api.test/?next=https%3A%2F%2Fb.test%2Fa":                 "https://api.test/?next=https%3A%2F%2Fb.test%2Fa",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		assert.Equal(t, want, redact.URL(u))
		assert.Equal(t, want, redact.RawURL(in))
	}
	assert.Empty(t, redact.URL(nil))
}

func TestRawURL_WhatDoesNotParseKeepsNeitherUserinfoNorQuery(t *testing.T) {
	for in, want := range map[string]string{
		"http://me:s3cret@[::1?token=s3cret": "REDACTED@[::1?REDACTED",
		"http://a b?x=s3cret#s3cret":         "http://a b?REDACTED",
		"http://a\r\nb":                      `http://a\r\nb`,
	} {
		assert.Equal(t, want, redact.RawURL(in))
	}
}
