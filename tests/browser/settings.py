"""Names these tests: `make test-browser` asks for them, and the ordinary run leaves them out.

The site under test is another process, with the example's own settings.
"""

from tests.settings import *  # noqa: F403
