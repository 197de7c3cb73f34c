// Clientcredentials is a program that does nothing but send one request with a token of
// x/oauth2's clientcredentials.
package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	config := clientcredentials.Config{ClientID: "client", ClientSecret: "secret", TokenURL: "https://api.redoxengine.com/v2/auth/token"}
	resp, err := config.Client(context.Background()).Get("https://api.redoxengine.com/")
	fmt.Fprintln(os.Stdout, resp, err)
}
