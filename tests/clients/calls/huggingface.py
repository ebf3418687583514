"""`huggingface_hub` with the provider wavespeed: image to video as its documentation shows it, and its other tasks.

The library asks the hub which of the provider's models is meant; a table in the library itself is there for trying
models before the hub knows them, and is used instead. Its address of WaveSpeed is a constant, set to the sandbox's.
"""

import base64
import json
import os
from pathlib import Path

from huggingface_hub import InferenceClient
from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference._providers import PROVIDERS
from huggingface_hub.inference._providers._common import HARDCODED_MODEL_INFERENCE_MAPPING

URL, STILL = os.environ["SANDBOX_URL"], os.environ["STILL"]
MODELS = {
    "image-to-video": "wavespeed-ai/veo2-i2v",
    "text-to-image": "wavespeed-ai/z-image/turbo",
    "text-to-video": "wavespeed-ai/minimax-h3/text-to-video",
    "image-to-image": "wavespeed-ai/flux-kontext-dev",
}
for task, model in MODELS.items():
    PROVIDERS["wavespeed"][task].base_url = URL
    HARDCODED_MODEL_INFERENCE_MAPPING["wavespeed"][task] = InferenceProviderMapping(
        provider="wavespeed", hf_model_id=task, providerId=model, task=task, status="live"
    )

client = InferenceClient(provider="wavespeed", api_key="sandbox-key")
said = {}


def text_of(made: bytes) -> str:
    return base64.b64encode(made).decode()


with Path(STILL).open("rb") as file:
    still = file.read()
prompt = "The lamp turns, slow push in."
said["from a path"] = text_of(client.image_to_video(STILL, model="image-to-video", prompt=prompt))
said["from bytes"] = text_of(client.image_to_video(still, model="image-to-video", prompt=prompt))
far = "https://stills.example/fox.png"
said["from a URL"] = text_of(client.image_to_video(far, model="image-to-video", prompt=prompt))
said["clip of a text"] = text_of(client.text_to_video("A young man walking on the street", model="text-to-video"))
said["picture of a text"] = client.text_to_image("An astronaut riding a horse", model="text-to-image").size
said["picture of a picture"] = client.image_to_image(still, prompt="at night", model="image-to-image").size
try:
    client.image_to_video(still, model="image-to-video", prompt="[sandbox:fails]")
except ValueError as error:
    said["failed"] = str(error)
print(json.dumps(said))
