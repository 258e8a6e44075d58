from . import avg as avg
from . import avg_tokenizer as avg_tokenizer
from . import incdsi as incdsi
from . import prompt_dsi as prompt_dsi
from . import two_tower as two_tower
