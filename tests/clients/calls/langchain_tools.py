"""Every call that the README of `langchain-wavespeed` shows, but for the agent, which needs a language model."""

import asyncio
import json
import os

import wavespeed
from langchain_core.tools import ToolException
from langchain_wavespeed import WaveSpeedImageGeneration, WaveSpeedRunModel, WaveSpeedVideoGeneration

wavespeed.config.api.base_url = os.environ["SANDBOX_URL"]
said = {}

picture = {"prompt": "A red panda drinking boba tea, studio lighting", "resolution": "2k", "aspect_ratio": "16:9"}
tool = WaveSpeedImageGeneration()
said["image"] = tool.invoke(picture)
drone = {"prompt": "A drone shot over a glacier at sunrise", "duration": 5}
said["video"] = WaveSpeedVideoGeneration().invoke(drone)
said["best video"] = WaveSpeedVideoGeneration(model="bytedance/seedance-2.5/text-to-video").invoke(drone)
lighthouse = {"model": "wavespeed-ai/z-image/turbo", "input": {"prompt": "A lighthouse at dusk"}}
said["any model"] = WaveSpeedRunModel().invoke(lighthouse)
configured = WaveSpeedRunModel(api_key="sandbox-key", timeout=60, poll_interval=0.2)
animate = {"prompt": "slow push in", "image": "https://stills.example/fox.png", "seed": 7}
said["clip"] = configured.invoke({"model": "wavespeed-ai/veo2-i2v", "input": animate})
said["awaited"] = asyncio.run(configured.ainvoke(lighthouse))
for name, prompt in (("failed", "[sandbox:fails]"), ("lost", "[sandbox:server-error-billed]")):
    try:
        configured.invoke({"model": "wavespeed-ai/z-image/turbo", "input": {"prompt": prompt}})
    except ToolException as error:
        said[name] = str(error)
print(json.dumps(said))
