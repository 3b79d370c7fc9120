package compare

import (
	"errors"
	"reflect"
	"testing"

	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"
)

func TestEqualForgivesNothingButSpelling(t *testing.T) {
	granted := func(message string) answer { return answer{status: "granted", message: message} }
	failed := func(err error) answer { return answer{absent: true, err: err} }
	for _, test := range []struct {
		name  string
		a, b  answer
		equal bool
	}{
		{"the same", granted(`{"a":1}`), granted(`{"a":1}`), true},
		{"another order", granted(`{"a":1,"b":2}`), granted(`{"b":2,"a":1}`), true},
		{"null and absent", granted(`{"a":null}`), granted(`{}`), true},
		{"another spelling of a number", granted(`{"a":1.50}`), granted(`{"a":15e-1}`), true},
		{"neighbours of a large number", granted(`{"a":9007199254740993}`), granted(`{"a":9007199254740992}`), false},
		{"an empty object and absent", granted(`{"a":{}}`), granted(`{}`), false},
		{"an empty list and null", granted(`{"a":[]}`), granted(`{"a":null}`), false},
		{"zero and absent", granted(`{"a":0}`), granted(`{}`), false},
		{"an empty text and absent", granted(`{"a":""}`), granted(`{}`), false},
		{"a number and its text", granted(`{"a":1}`), granted(`{"a":"1"}`), false},
		{"another key", granted(`{"userid":"a"}`), granted(`{"userId":"a"}`), false},
		{"a longer list", granted(`{"a":[1,2]}`), granted(`{"a":[1]}`), false},
		{"another order of a list", granted(`{"a":[1,2]}`), granted(`{"a":[2,1]}`), false},
		{"deep below", granted(`{"a":[{"b":{"c":true}}]}`), granted(`{"a":[{"b":{"c":false}}]}`), false},
		{"something behind the value", granted(`{"a":1}`), granted(`{"a":1} {}`), false},
		{"another status", granted("x"), answer{status: "denied", message: "x"}, false},
		{"another text that is not JSON", granted("x"), granted("y"), false},
		{"no response", granted("x"), failed(nil), false},
		{"the same error", failed(&plugin.PluginError{Err: "x"}), failed(&plugin.PluginError{Err: "x"}), true},
		{"another error", failed(&plugin.PluginError{Err: "x"}), failed(&plugin.PluginError{Err: "y"}), false},
		{"another type of error", failed(&plugin.PluginError{Err: "x"}), failed(errors.New("x")), false},
		{"an error and none", failed(&plugin.PluginError{Err: "x"}), failed(nil), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.a.equal(test.b); (err == nil) != test.equal {
				t.Errorf("equal must be %t, got %v", test.equal, err)
			}
			if err := test.b.equal(test.a); (err == nil) != test.equal {
				t.Errorf("the other way round: equal must be %t, got %v", test.equal, err)
			}
		})
	}
}

func TestASeedGivesTheSameRequestsAgain(t *testing.T) {
	for number := range 300 {
		first, second := newRandom(7, number).sample(number), newRandom(7, number).sample(number)
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("case %d differs", number)
		}
		if other := newRandom(8, number).sample(number); number%10 == 0 && reflect.DeepEqual(first, other) {
			t.Fatalf("case %d is the same with another seed", number)
		}
	}
}
