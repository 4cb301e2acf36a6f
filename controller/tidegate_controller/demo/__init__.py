"""What `tidegate demo` needs beside the real thing: a load client and a Caddy of its own."""
